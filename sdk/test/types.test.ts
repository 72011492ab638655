import { expect, test } from "vitest";
import { createClient, type Client } from "../src/index.ts";

// As `roxy generate typescript` writes it.
interface Order {
  table: number;
  lines: { product: string; quantity: number }[];
}
interface RoxyEvents {
  "order:new": Order;
  "order:paid": { cents: number };
}

/** Compiled and not run: what tsc accepts here, and refuses, is the test. */
export function typed(client: Client<RoxyEvents>): void {
  client.subscribe("order:new", ({ data, type }) => [data.lines[0]?.product.length, type satisfies "order:new"]);
  client.subscribe("*", ({ data }) => data);
  // @ts-expect-error a field is misspelt
  client.subscribe("order:new", ({ data }) => data.tabel);
  // @ts-expect-error the type is misspelt
  client.subscribe("order:nwe", () => {});
  // @ts-expect-error what a handler of all gets is not known
  client.subscribe("*", ({ data }) => data.table);
  void client.publish({ topic: "orders/7", type: "order:paid", data: { cents: 250 } });
  void client.publish({ topic: "orders/7", data: "a message may be anything" });
  // @ts-expect-error the data are another type's
  void client.publish({ topic: "orders/7", type: "order:paid", data: { table: 7 } });
  // @ts-expect-error no such type
  void client.publish({ topic: "orders/7", type: "order:nwe", data: {} });
  // @ts-expect-error the topic is missing
  void client.publish({ type: "order:paid", data: { cents: 250 } });
}

test("a client of typed events is made without touching the network", () => {
  expect(createClient<RoxyEvents>({ url: "http://nowhere.invalid", topics: ["orders/*"] }).state.get()).toBe("idle");
});
