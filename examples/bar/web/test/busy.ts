import type { Access } from "../src/backend.ts";
import type { Line, RoxyEntities } from "../src/roxy.gen.ts";
import type { EntityAt, TopicsOf } from "@roxy/sdk/entities";
import type { Bar } from "./bar.ts";

/** Fills a bar, as its manager, with one of everything that a screen can show. Returns the manager's access. */
export async function fill(bar: Bar): Promise<Access> {
  const manager = await bar.signIn("manager", "manager");
  const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
  const mutations: { op: "put"; topic: string; data: object }[] = [];
  const put = <Topic extends TopicsOf<RoxyEntities>>(topic: Topic, data: EntityAt<RoxyEntities, Topic>): void => void mutations.push({ op: "put", topic, data });
  const party = (table: number, status: "open" | "bill" | "paid", lines: readonly [string, Line["station"], Line["status"], string?][]): void => {
    const order: `orders/${string}` = `orders/${table}`;
    put(order, {
      table,
      waiter: "waiter-1",
      status,
      guests: 3,
      openedAt: ago(40),
      ...(status !== "open" && { billAt: ago(2), method: "cash" as const }),
      ...(status === "paid" && { payment: `payments/${table}` }),
    });
    put(`tables/${table}`, { number: table, status: status === "open" ? "seated" : "bill", guests: 3, waiter: "waiter-1", order, seatedAt: ago(40) });
    lines.forEach(([product, station, state, note], at) =>
      put(`lines/${table}-${at}`, {
        order,
        table,
        product,
        station,
        quantity: at + 1,
        status: state,
        price: 650,
        by: "waiter-1",
        ...(note !== undefined && { note }),
        ...(state !== "draft" && { firedAt: ago(20 - table) }),
        ...(state !== "draft" && state !== "new" && { acceptedBy: station }),
      }),
    );
  };
  party(1, "open", [["burger", "kitchen", "new", "No onions"], ["spritz", "counter", "new"], ["olives", "kitchen", "draft"]]);
  party(2, "open", [["margherita", "kitchen", "preparing", "Well done"], ["negroni", "counter", "preparing"], ["fries", "kitchen", "cancelled"]]);
  party(3, "open", [["diavola", "kitchen", "ready"], ["lemonade", "counter", "ready"]]);
  party(4, "bill", [["tiramisu", "kitchen", "served"], ["espresso", "counter", "served"]]);
  party(5, "paid", [["burger", "kitchen", "served"]]);
  party(6, "open", []);
  put("payments/5", { table: 5, order: "orders/5", amount: 650, status: "taken", method: "cash", tip: 50, takenBy: "till", takenAt: ago(1) });
  put("receipts/5", { table: 5, order: "orders/5", payment: "payments/5", total: 650, method: "cash", waiter: "waiter-1", issuedAt: ago(1) });
  put("calls/3", { table: 3, wants: "waiter", since: ago(3) });
  put("calls/4", { table: 4, wants: "bill", since: ago(1) });
  put("products/olives", { name: "Olives", station: "kitchen", price: 390, available: false });
  await bar.call(manager, "POST", "/v1/mutations", mutations);
  return manager;
}
