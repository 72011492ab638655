import { expect, test } from "vitest";
import { createClient } from "../../src/index.ts";
import { createEntities, type Entities, type EntityAt } from "../../src/entities.ts";

// As `roxy generate typescript` writes it.
interface Order {
  lines: { [name: string]: { product: string; quantity: number; note?: string } };
  payment?: string | null;
  status: "new" | "ready";
  customer?: { name?: string };
  tags?: string[];
}
interface Bill {
  cents: number;
}
export interface RoxyEntities {
  "orders/*": Order;
  "orders/*/bill": Bill;
  "tables/**": { number: number };
}

type Same<A, B> = [A, B] extends [B, A] ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

/** Compiled and not run: what tsc accepts here, and refuses, is the test. */
export function typed(entities: Entities<RoxyEntities>, id: string): void {
  same<EntityAt<RoxyEntities, "orders/7">, Order>(true);
  same<EntityAt<RoxyEntities, "orders/7/bill">, Bill>(true); // the most specific pattern counts
  same<EntityAt<RoxyEntities, `orders/${string}/bill`>, Bill>(true);
  same<EntityAt<RoxyEntities, "tables/1/seats">, { number: number }>(true);

  const { data, pending } = entities.entity(`orders/${id}`).get();
  void [data?.lines["a"]?.product, data?.customer?.name, pending];
  void entities.collection("orders/*").get()[0]?.data?.status;
  // @ts-expect-error a field is misspelt
  void data?.statsu;
  // @ts-expect-error a topic is misspelt
  entities.entity("order/7");
  // @ts-expect-error a pattern is misspelt
  entities.collection("order/*");
  // @ts-expect-error any string could be a topic of something else
  entities.entity(id);

  entities.put("orders/7", { lines: {}, status: "new" });
  entities.put("orders/7/bill", { cents: 250 }, { guard: "version", type: "bill:made" });
  // @ts-expect-error a field is misspelt
  entities.put("orders/7", { lines: {}, status: "new", custmer: {} });
  // @ts-expect-error a field is missing
  entities.put("orders/7", { status: "new" });
  // @ts-expect-error a value is misspelt
  entities.put("orders/7", { lines: {}, status: "raedy" });

  entities.patch("orders/7", { lines: { a: { note: null }, b: null }, customer: { name: "Ann" }, payment: null, tags: ["loud"] });
  // @ts-expect-error a field is misspelt
  entities.patch("orders/7", { statsu: "ready" });
  // @ts-expect-error a nested field is misspelt
  entities.patch("orders/7", { lines: { a: { quantiy: 2 } } });
  // @ts-expect-error what must be there cannot be removed
  entities.patch("orders/7", { status: null });
  // @ts-expect-error a topic is misspelt
  entities.delete("order/7");
}

test("entities are made without touching the network", () => {
  const entities = createEntities(createClient({ url: "http://nowhere.invalid" }));
  expect(entities.entity("anything/at/all").get()).toEqual({ topic: "anything/at/all", data: undefined, version: 0, pending: [] });
  entities.close();
});
