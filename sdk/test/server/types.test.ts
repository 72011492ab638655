import { expect, test } from "vitest";
import { createPublisher, type Publisher } from "../../src/server.ts";

// As `roxy generate typescript` writes it.
interface Order {
  table: number;
  note?: string;
}
interface RoxyEvents {
  "order:new": Order;
  "order:paid": { cents: number };
}
interface RoxyEntities {
  "orders/*": Order;
  "payments/*": { cents: number };
}

/** Compiled and not run: what tsc accepts here, and refuses, is the test. */
export async function typed(app: Publisher<RoxyEvents, RoxyEntities>): Promise<void> {
  await app.emit("order:new", { table: 3 }, { topic: "orders/7", targetRoles: ["kitchen"], ttl: 5_000, work: "w", signal: new AbortController().signal });
  // @ts-expect-error a field is misspelt
  await app.emit("order:new", { tabel: 3 });
  // @ts-expect-error no such type
  await app.emit("order:nwe", { table: 3 });
  // @ts-expect-error no such option
  await app.emit("order:new", { table: 3 }, { targetRole: ["kitchen"] });
  // @ts-expect-error the data are another type's
  await app.publish({ topic: "orders/7", type: "order:paid", data: { table: 3 } });
  await app.mutateAll([
    { op: "put", topic: "orders/7", data: { table: 3 } },
    { op: "patch", topic: "payments/7", patch: { cents: 5 }, guard: "fields", base: 2 },
    { op: "patch", topic: "orders/7", patch: { note: null } },
    { op: "delete", topic: "orders/7" },
  ]);
  // @ts-expect-error a field is misspelt
  await app.mutate({ op: "put", topic: "orders/7", data: { table: 3, notes: "" } });
  // @ts-expect-error a field is another entity's
  await app.mutate({ op: "patch", topic: "orders/7", patch: { cents: 5 } });
  // @ts-expect-error what must be there cannot be removed
  await app.mutate({ op: "patch", topic: "orders/7", patch: { table: null } });
  // @ts-expect-error no such topic
  await app.mutate({ op: "delete", topic: "order/7" });
  // @ts-expect-error a guard needs a base
  await app.mutate({ op: "delete", topic: "orders/7", guard: "version" });
  const { data } = await app.snapshot("orders/*");
  data.map((order) => order.data.table);
  // @ts-expect-error a field is misspelt
  data.map((order) => order.data.tabel);
  const both = await app.snapshot(["orders/*", "payments/*"]);
  both.data.map((found) => ("table" in found.data ? found.data.table : found.data.cents));
  // @ts-expect-error not all of them are orders
  both.data.map((found) => found.data.table);
  (await app.entity("payments/7"))?.data.cents.toFixed();
}

test("a publisher of typed events and entities is made without touching the network", () => {
  const topics = { "order:new": ({ table }: Order) => `orders/${table}` };
  expect(createPublisher<RoxyEvents, RoxyEntities>({ url: "https://nowhere.invalid", token: "t", topics })).toHaveProperty("mutate");
  // @ts-expect-error what has no such type goes nowhere
  createPublisher<RoxyEvents>({ url: "https://nowhere.invalid", token: "t", topics: { "order:nwe": "orders/7" } });
});
