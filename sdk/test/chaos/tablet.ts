import { globalPlatform } from "../../src/browser.ts";
import { createClient, type Client, type RoxyEvent } from "../../src/index.ts";
import { createEntities, type Entities } from "../../src/entities.ts";
import { eventSource } from "../../src/eventsource.ts";
import type { Decision, Settlement } from "../../src/outbox.ts";
import { webSocket } from "../../src/ws.ts";
import type { ALL } from "../client.ts";
import type { Hub } from "../hub.ts";
import { stamped, unstreamed } from "../platforms.ts";
import type { Proxy } from "../proxy.ts";
import { change } from "../store/house.ts";

/** One device of an evening, and all that its app saw. */
export interface Tablet {
  readonly name: string;
  /** What the network calls the page that is open now. */
  readonly page: string;
  readonly over: (typeof ALL)[number];
  readonly client: Client;
  readonly entities: Entities;
  /** How often each event was handled, by what its repeats have in common. */
  readonly handled: ReadonlyMap<string, number>;
  /** How often each mutation ended, and how. */
  readonly ended: ReadonlyMap<string, Settlement[]>;
  /** The mutations that were asked for: what was asked of one entity before the first was sent is one. */
  readonly asked: ReadonlySet<string>;
  /** Those among them that this tablet may have ended by itself, or given another name: taken back, or in conflict. */
  readonly doubtful: ReadonlySet<string>;
  readonly errors: readonly unknown[];
  /** Asks for what the step says. */
  mutate(x: number, y: number): void;
  /** Takes back the mutation asked for last, or decides what is held. */
  takeBack(y: number): void;
  /** The page is gone and opened again: of all it had, the database is left. */
  reload(): Promise<void>;
  close(): void;
}

/** Events that are handled twice or never have this for a name. */
export const nameOf = (event: RoxyEvent): string => event.ack?.id ?? event.cursor!;

/** Opens a tablet that reaches the hub through a network. */
export function openTablet(hub: Hub, proxy: Proxy, name: string, over: Tablet["over"]): Tablet {
  const handled = new Map<string, number>();
  const ended = new Map<string, Settlement[]>();
  const errors: unknown[] = [];
  const decisions: readonly Decision[] = ["theirs", "mine", "ask", { merge: { a: "merged" } }];
  let pages = 0;
  let decided = 0;
  const asked = new Set<string>();
  const doubtful = new Set<string>();
  let accepting: Promise<boolean>[] = [];
  let takeBack: () => unknown = () => {};
  let client!: Client;
  let entities!: Entities;

  const page = (): string => `${name}.${pages}`;

  const open = (): void => {
    pages++;
    client = createClient({
      url: proxy.url(page()),
      token: hub.token({ sub: name, roles: ["everything"] }),
      device: name,
      topics: ["orders/*", "calls/*"],
      snapshot: true,
      heartbeat: "1s",
      backoff: { cap: 300 }, // two hundred cuts have to go into half a minute; the floor stays
      platform: stamped(over === "sse" ? globalPlatform() : unstreamed(globalPlatform())),
      transports: [over === "ws" ? webSocket : eventSource],
      onError: (error) => errors.push(error),
    });
    client.subscribe("*", (event) => {
      const key = nameOf(event);
      handled.set(key, (handled.get(key) ?? 0) + 1);
    });
    // An EventSource hears only what is listened to.
    client.subscribe("call", () => {});
    client.subscribe("call:over", () => {});
    client.onReset((reset) => errors.push(new Error(`reset: ${reset.reason}`)));
    entities = createEntities(client, {
      database: proxy.url(name),
      conflict({ mutation }) {
        doubtful.add(mutation.id);
        return decisions[decided++ % decisions.length]!;
      },
      settled: (settlement) => ended.set(settlement.id, [...(ended.get(settlement.id) ?? []), settlement]),
    });
  };
  open();

  return {
    name,
    get page() {
      return page();
    },
    over,
    get client() {
      return client;
    },
    get entities() {
      return entities;
    },
    handled,
    ended,
    asked,
    doubtful,
    errors,
    mutate(x, y) {
      const { op, topic, content, how } = change(x, y);
      const { id, cancel, accepted } = op === "delete" ? entities.delete(topic, how) : entities[op](topic, content, how);
      asked.add(id);
      accepting.push(accepted);
      takeBack = () => {
        doubtful.add(id);
        return cancel();
      };
    },
    takeBack(y) {
      const held = entities.troubled.get().find(({ state }) => state === "held");
      if (held) entities.resolve(held.id, y % 2 === 0 ? "theirs" : "mine");
      else void takeBack();
    },
    async reload() {
      await Promise.all(accepting); // what was not is nobody's
      accepting = [];
      entities.close();
      client.close();
      takeBack = () => {};
      open();
      await entities.ready;
    },
    close() {
      entities.close();
      client.close();
    },
  };
}
