import { expect } from "vitest";
import { ANN, BOB, type Case, type Talk, type Who } from "./place.ts";

const KITCHEN: Who = { sub: "kim", roles: ["kitchen"] };
const WAITER: Who = { sub: "will", roles: ["waiter"] };

const publish = async ({ call }: Talk, ...events: object[]): Promise<string[]> =>
  (await call("POST", "/v1/events", { body: events })).body.events.map(({ cursor }: { cursor: string }) => cursor);

/** What a stream is given, in which order (docs/protocol.md §4). */
export const streams: readonly Case[] = [
  {
    name: "a stream begins with hello and live, and has from then on what matches",
    async run(talk) {
      await publish(talk, { topic: "orders/1", data: "before" });
      const listening = await talk.stream("topic=orders/*&topic=tables/**&heartbeat=30s");
      expect((await listening.until("roxy:live")).map(({ event }) => event)).toEqual(["roxy:hello", "roxy:live"]);
      await publish(talk, { topic: "orders/1", type: "a", data: 1 }, { topic: "orders/1/lines", type: "a", data: 2 }, { topic: "tables", type: "a", data: 3 }, { topic: "tables/1/x", type: "a", data: 4 });
      await publish(talk, { topic: "orders/2", data: 5 }, { topic: "orders/2", type: "last" });
      const heard = await listening.until("last");
      await publish(talk, { topic: "orders/2", type: "typing", ephemeral: true, data: 6 }); // alone: it overtakes what has a place in the log
      await listening.until("typing");
      expect(heard.map(({ data }) => data.data)).toEqual(expect.arrayContaining([1, 3, 4, 5]));
    },
  },
  {
    name: "a stream resumes behind a cursor, without a hole or a repeat",
    async run(talk) {
      const cursors = await publish(talk, ...[1, 2, 3, 4, 5].map((data) => ({ topic: data === 4 ? "tables/1" : "orders/1", type: "count", data })));
      for (const headers of [{ "Last-Event-ID": cursors[1]! }, { "Last-Event-ID": "earliest" }]) {
        const listening = await talk.stream("topic=orders/*", { headers });
        await listening.until("roxy:live");
        listening.close();
      }
      const listening = await talk.stream(`topic=orders/*&after=${cursors[2]}`);
      expect((await listening.until("roxy:live")).filter(({ event }) => event === "count").map(({ data }) => data.data)).toEqual([5]);
      const wins = await talk.stream(`topic=orders/*&after=${cursors[0]}`, { headers: { "Last-Event-ID": cursors[4]! } });
      await wins.until("roxy:live");
      const all = await talk.stream("topic=**&after=earliest&type=count");
      await all.until("roxy:live");
    },
  },
  {
    name: "what cannot be replayed is a reset, never a silent hole",
    async run(talk) {
      const [cursor] = await publish(talk, { topic: "orders/1", data: 1 });
      const epoch = cursor!.split(".")[0]!;
      for (const after of ["anotherlife.7", `${epoch}.99`]) {
        const listening = await talk.stream(`topic=orders/*&after=${after}`);
        expect((await listening.until("roxy:live")).map(({ event }) => event)).toEqual(["roxy:hello", "roxy:reset", "roxy:live"]);
        const snapshot = await talk.stream(`topic=orders/*&snapshot=1&after=${after}`);
        await snapshot.until("roxy:live");
      }
    },
  },
  {
    name: "types, audiences and the sender's own device filter what a stream has",
    async run(talk) {
      const kitchen = await talk.stream("topic=orders/*&type=a&type=b&type=last", { as: KITCHEN });
      const waiter = await talk.stream("topic=orders/*", { as: WAITER });
      const device = await talk.stream("topic=orders/*&device=tablet-1");
      for (const one of [kitchen, waiter, device]) await one.until("roxy:live");
      await publish(
        talk,
        { topic: "orders/1", type: "a", data: 1 },
        { topic: "orders/1", type: "b", data: 2, to: { roles: ["kitchen"] } },
        { topic: "orders/1", type: "c", data: 3, to: { roles: ["kitchen"] } },
        { topic: "orders/1", type: "a", data: 4, to: { users: ["will", "ann"] } },
        { topic: "orders/1", type: "a", data: 5, except: "tablet-1" },
        { topic: "orders/1", type: "last" },
      );
      for (const one of [kitchen, waiter, device]) await one.until("last");
      await publish(talk, { topic: "orders/1", type: "a", data: 6, to: { roles: ["kitchen"], users: ["will"] }, ephemeral: true });
      for (const one of [kitchen, waiter]) await one.until("a");
      await publish(talk, { topic: "orders/1", type: "a", data: 7, except: "tablet-1", ephemeral: true });
      for (const one of [kitchen, waiter]) await one.until("a");
      await publish(talk, { topic: "orders/1", type: "last" });
      await device.until("last");
      const replayed = await talk.stream("topic=orders/*&after=earliest", { as: WAITER });
      await replayed.until("roxy:live");
    },
  },
  {
    name: "an event that has expired is not replayed",
    async run(talk) {
      await publish(talk, { topic: "orders/1", data: 1, ttl: "1ms" }, { topic: "orders/1", data: 2, ttl: "1h" });
      await new Promise((later) => setTimeout(later, 5));
      const listening = await talk.stream("topic=orders/*&after=earliest");
      expect(await listening.until("roxy:live")).toHaveLength(3);
    },
  },
  {
    name: "a snapshot and the tail behind it have every entity at every version",
    async run(talk) {
      const { call } = talk;
      for (const n of [1, 2, 3]) await call("PUT", `/v1/entities/orders/${n}`, { body: { n, lines: [{ sku: "tea", note: null }] } });
      await call("DELETE", "/v1/entities/orders/2");
      await call("PUT", "/v1/entities/tables/1", { body: { seats: 4 } });
      const [cursor] = await publish(talk, { topic: "orders/1", data: "between" });
      const listening = await talk.stream("topic=orders/*&snapshot=1");
      expect((await listening.until("roxy:live")).filter(({ event }) => event === "roxy:entity")).toHaveLength(2);
      await call("PATCH", "/v1/entities/orders/1", { body: { n: 7 }, headers: { "Content-Type": "application/merge-patch+json" } });
      await listening.until("entity:updated");
      const resumed = await talk.stream(`topic=orders/*&snapshot=1&after=${cursor}`);
      await resumed.until("roxy:live");
      const none = await talk.stream("topic=menu/*&snapshot=1");
      await none.until("roxy:live");
    },
  },
  {
    name: "a silent stream beats, and its beats move the cursor past what is not for it",
    async run(talk) {
      const listening = await talk.stream("topic=orders/*&heartbeat=1s");
      await listening.until("roxy:live");
      await publish(talk, { topic: "tables/1" });
      const beat = (await listening.until("roxy:heartbeat")).at(-1)!;
      expect(beat.id).toBe(beat.data.cursor);
    },
  },
  {
    name: "a restart breaks streams, and whatever was answered is there afterwards",
    async run(talk) {
      const { call, stream } = talk;
      const first = await stream("topic=orders/*&device=t1");
      await first.until("roxy:live");
      const cursors = await publish(talk, { topic: "orders/1", type: "count", data: 1, id: "k" }, { topic: "orders/1", type: "count", data: 2 });
      await first.until(({ data }) => data.data === 2);
      await call("POST", "/v1/mutations", { body: { id: "m", op: "put", topic: "orders/2", data: { a: 1 } } });
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: cursors[0] } });
      const { ticket } = (await call("POST", "/v1/tickets")).body;
      await first.until("entity:created");
      const restarted = talk.restart();
      await first.end();
      await restarted;
      await publish(talk, { topic: "orders/1", type: "count", data: 1, id: "k" });
      await call("POST", "/v1/mutations", { body: { id: "m", op: "put", topic: "orders/2", data: { a: 1 } } });
      await call("GET", "/v1/entities/orders/2");
      await call("GET", "/v1/devices");
      await call("GET", "/v1/presence", { as: { sub: "wim", roles: [], roxy: { read: ["roxy/presence"] } } });
      await call("GET", `/v1/devices?ticket=${ticket}`, { as: null });
      const again = await stream("topic=orders/*&device=t1");
      await again.until("roxy:live");
    },
  },
  {
    name: "a stream ends with its token, and goes on with a fresh one",
    async run(talk) {
      const short: Who = { sub: "ann", roles: ["everything"], expires: 3 };
      const ending = await talk.stream("topic=orders/*", { as: short });
      const going = await talk.stream("topic=orders/*", { as: short });
      await ending.until("roxy:live");
      const [hello] = await going.until("roxy:live");
      await talk.call("POST", `/v1/sessions/${hello!.data.connection}/refresh`, { as: BOB });
      await talk.call("POST", `/v1/sessions/${hello!.data.connection}/refresh`, { as: { sub: "ann", roles: ["waiter"] } });
      expect(await talk.call("POST", `/v1/sessions/${hello!.data.connection}/refresh`)).toMatchObject({ status: 200 });
      await talk.call("POST", "/v1/sessions/none/refresh");
      expect((await ending.end()).at(-1)).toMatchObject({ event: "roxy:bye", data: { reason: "token-expired" } });
      await publish(talk, { topic: "orders/1", type: "last" });
      await going.until("last");
    },
  },
  {
    name: "a stream that may not be, or asks for what there is not, is refused and the parameter named",
    async run({ stream }) {
      const queries = [
        "",
        "topic=",
        "topic=a//b",
        "topic=**/a",
        "topic=orders/*&topic=a%20b",
        "topic=orders/*&topics=x",
        "topic=orders/*&after=nonsense",
        "topic=orders/*&after=x.01",
        "topic=orders/*&after=x.1&after=x.2",
        "topic=orders/*&snapshot=yes",
        "topic=orders/*&snapshot=1&after=earliest",
        "topic=orders/*&device=a%20b",
        `topic=orders/*&device=${"x".repeat(65)}`,
        "topic=orders/*&heartbeat=500ms",
        "topic=orders/*&heartbeat=2m",
        "topic=orders/*&heartbeat=soon",
        "topic=orders/*&type=",
        "topic=orders/*&type=a%0Ab",
        Array.from({ length: 65 }, (_, i) => `topic=orders/${i}`).join("&"),
        `topic=orders/*&${Array.from({ length: 65 }, (_, i) => `type=t${i}`).join("&")}`,
      ];
      for (const query of queries) expect((await stream(query)).answer.status).toBe(400);
      for (const query of ["topic=menu/*", "topic=**", "topic=orders/1&topic=tables/1", "topic=roxy/presence", "topic=*/**"]) {
        expect((await stream(query, { as: KITCHEN })).answer.status).toBe(403);
      }
      for (const query of ["topic=roxy/**", "topic=roxy/presence"]) await stream(query, { as: ANN });
      await stream("topic=orders/*", { headers: { "Last-Event-ID": "nonsense" } });
      for (const Accept of ["application/json", "text/html, application/json;q=0.9", "text/event-stream;q=0"]) await stream("topic=orders/*", { headers: { Accept } });
      for (const Accept of ["*/*", "text/*", "application/json, text/event-stream"]) {
        const accepted = await stream("topic=orders/*", { headers: { Accept } });
        await accepted.until("roxy:live");
      }
      await stream("topic=orders/*", { as: null });
      await stream("topic=orders/*", { as: { sub: "old", roles: ["everything"], expires: -60 } });
    },
  },
];
