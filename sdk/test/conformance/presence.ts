import { expect } from "vitest";
import { ANN, BOB, type Case, type Who } from "./place.ts";

const WATCHER: Who = { sub: "wim", roles: ["everything"], roxy: { read: ["roxy/presence"] } };

/** Who is there (docs/protocol.md §9); the grace is a second. */
export const presence: readonly Case[] = [
  {
    name: "who watches has the list, then who joins and who has left for a grace",
    async run({ stream }) {
      const tablet = await stream("topic=orders/*&device=tablet-1", { as: ANN });
      await tablet.until("roxy:live");
      const watching = await stream("topic=roxy/presence", { as: WATCHER });
      const sorted = await watching.until("roxy:presence");
      expect(sorted.at(-1)!.data.present).toHaveLength(2);
      const phone = await stream("topic=tables/*", { as: ANN });
      await phone.until("roxy:live");
      expect((await watching.until("roxy:presence")).at(-1)!.data.joined).toMatchObject([{ user: "ann", others: 1 }]);
      const bob = await stream("topic=orders/*", { as: BOB });
      await watching.until("roxy:presence");
      bob.close();
      expect((await watching.until("roxy:presence")).at(-1)!.data.left).toMatchObject([{ user: "bob", others: 0 }]);
      tablet.close();
      await watching.until("roxy:presence");
    },
  },
  {
    name: "the list is asked for by topic and page, by who may",
    async run({ call, stream }) {
      for (const [query, as] of [["topic=orders/*&device=a", ANN], ["topic=tables/*", ANN], ["topic=orders/1", BOB]] as const) await (await stream(query, { as })).until("roxy:live");
      const ask = (query: string, as: Who = WATCHER): ReturnType<typeof call> => call("GET", `/v1/presence${query}`, { as });
      await ask("");
      await ask("?topic=orders/1");
      await ask("?topic=orders/2");
      await ask("?topic=menu/1");
      const { body } = await ask("?limit=1");
      await ask(`?limit=1&page=${body.page}`);
      for (const query of ["?topic=orders/*", "?limit=0", "?page=x", "?x=1", "?limit=1&limit=2"]) await ask(query);
      await ask("", ANN);
      await ask("?topic=menu/1", { sub: "w", roles: ["kitchen"], roxy: { read: ["roxy/**"] } });
    },
  },
  {
    name: "with types, presence has to be among them",
    async run({ stream }) {
      const named = await stream("topic=roxy/presence&type=roxy:presence", { as: WATCHER });
      await named.until("roxy:presence");
      const other = await stream("topic=roxy/presence&type=order:new&heartbeat=1s", { as: WATCHER });
      expect((await other.until("roxy:heartbeat")).map(({ event }) => event)).not.toContain("roxy:presence");
    },
  },
];
