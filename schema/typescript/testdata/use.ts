import type { Order, OrderLine, Payment, RoxyEntities, RoxyEvents } from "./roxy.js";

const line: OrderLine = { product: "espresso", quantity: 2, extras: [{ product: "milk", quantity: 1 }] };
const order: Order = {
  table: 7,
  status: "open",
  lines: { a: line },
  tip: null,
  place: [1, 2],
  queue: ["a", 1, 2],
  labels: { de: "Bestellung", fr: "commande" },
};

// @ts-expect-error misspelt
export const misspelt: Order = { ...order, tabel: 7 };
// @ts-expect-error no such status
export const lost: Order = { ...order, status: "lost" };
// @ts-expect-error the table is missing
export const tableless: Order = { status: "open", lines: {} };
// @ts-expect-error a tuple is not longer
export const long: Order = { ...order, place: [1, 2, "three", 4] };
// @ts-expect-error not to be written
order.id = "7";

export function owed(payment: Payment): string | number {
  switch (payment.method) {
    case "card":
      return payment.last4;
    case "cash":
      return payment.given;
  }
}

export function on<E extends keyof RoxyEvents>(type: E, hear: (data: RoxyEvents[E]) => void): [E, typeof hear] {
  return [type, hear];
}
on("payment:taken", (p) => owed(p));
on("order:extended", (o) => [o.by, o.table]);
// @ts-expect-error no such event
on("payment:lost", () => {});

export const entity: RoxyEntities["orders/*"] = order;
export const tree: RoxyEvents["tree"] = { a: [1, "x", { b: null }] };
