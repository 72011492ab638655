// An app, as somebody would write it who tests it with @roxy/sdk/testing: the screen of a kitchen, in text.
import type { Entities } from "../../src/entities.ts";
import type { Client } from "../../src/index.ts";

export interface Order {
  readonly table: number;
  readonly dish: string;
  readonly status: "new" | "cooking" | "ready";
}

export interface KitchenEntities {
  readonly "orders/*": Order;
}

/** The lines of the screen, newest state of everything, and what a cook can do. */
export interface Kitchen {
  lines(): string[];
  start(order: string): void;
  ready(order: string): void;
  close(): void;
}

export function createKitchen(client: Client, entities: Entities<KitchenEntities>): Kitchen {
  const bells: string[] = [];
  const orders = entities.collection("orders/*");
  const stops = [
    orders.subscribe(() => {}),
    client.subscribe("order:new", ({ topic }) => bells.push(`new: ${topic}`), { topic: "orders/*" }), // returns: so it is confirmed
  ];
  const topicOf = (order: string): `orders/${string}` => `orders/${order}`;
  return {
    lines() {
      const state = client.lost.get() ? ["no connection: what you see may be old"] : [];
      const troubled = entities.troubled.get().map(({ topic, problem }) => `${topic} was not changed: ${problem?.code}`);
      const rows = orders.get().map(({ topic, data, pending }) => `${topic} table ${data!.table} ${data!.dish} ${data!.status}${pending.length > 0 ? " …" : ""}`);
      return [...state, ...bells.splice(0), ...troubled, ...rows];
    },
    start: (order) => void entities.patch(topicOf(order), { status: "cooking" }),
    ready: (order) => void entities.patch(topicOf(order), { status: "ready" }),
    close() {
      for (const stop of stops) stop();
      entities.close();
      client.close();
    },
  };
}
