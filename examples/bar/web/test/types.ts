// Not run, but compiled: what is misspelt or of another shape than the schemas say is an error of tsc, and each line below
// that expects an error fails when there is none.
import type { Entities } from "@roxy/sdk/entities";
import { useCollection, useEvent } from "@roxy/sdk/react";
import "../src/register.ts";
import type { RoxyEntities } from "../src/roxy.gen.ts";

export function misspelt(entities: Entities<RoxyEntities>): void {
  entities.patch("lines/a", { quantity: 2, note: null });
  // @ts-expect-error: the field is called quantity
  entities.patch("lines/a", { quantitty: 2 });
  // @ts-expect-error: a quantity is no text
  entities.patch("lines/a", { quantity: "2" });
  // @ts-expect-error: a quantity cannot be taken away
  entities.patch("lines/a", { quantity: null });
  // @ts-expect-error: there are no spoons
  entities.patch("spoons/a", { quantity: 2 });
  // @ts-expect-error: what an order must have is missing
  entities.put("orders/7", { table: 7 });
  // @ts-expect-error: tables are not "busy"
  entities.patch("tables/7", { status: "busy" });
  // @ts-expect-error: the field is called available
  void entities.entity("products/olives").get().data?.avaliable;
}

export function Misspelt(): number {
  useEvent("order:new", ({ data }) => data.items[0]?.product);
  // @ts-expect-error: the event is called order:new
  useEvent("order:neu", () => {});
  // @ts-expect-error: the field is called table
  useEvent("order:new", ({ data }) => data.tabel);
  // @ts-expect-error: the field is called guests
  return useCollection("orders/*").reduce((sum, { data }) => sum + (data?.gests ?? 0), 0);
}
