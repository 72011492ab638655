import { useState, type ReactElement } from "react";
import { useCollection, useConnectionHealth } from "@roxy/sdk/react";
import type { Hub } from "../hub.ts";
import { money } from "../model/money.ts";
import { known, linesOf, total, type Known } from "../model/orders.ts";
import { since } from "../model/words.ts";
import { useNew, useNow } from "../parts/hooks.ts";
import { Icon } from "../parts/Icon.tsx";
import { Marks } from "../parts/Marks.tsx";
import { say } from "../parts/say.ts";
import type { Order } from "../roxy.gen.ts";
import { Bill } from "./till/Bill.tsx";
import { Receipts } from "./till/Receipts.tsx";

/** Bills to take, the one in hand, and the receipts of tonight. */
export function Till({ hub, route, go }: { readonly hub: Hub; readonly route: string; readonly go: (to: string) => void }): ReactElement {
  const orders = useCollection("orders/*").filter(known);
  const lines = useCollection("lines/*");
  const payments = useCollection("payments/*").filter(known);
  const receipts = useCollection("receipts/*").filter(known);
  const products = useCollection("products/*").filter(known);
  const { continuity } = useConnectionHealth();
  const [part, setPart] = useState<"bills" | "receipts">("bills");
  const nameOf = (product: string): string => products.find(({ topic }) => topic === `products/${product}`)?.data.name ?? product;
  const bills = orders.filter(({ data }) => data.status === "bill").sort((a, b) => (a.data.billAt ?? "").localeCompare(b.data.billAt ?? ""));
  const open = orders.filter(({ data }) => data.status === "open");
  const unreceipted = orders.filter(({ topic, data }) => data.status === "paid" && !receipts.some((receipt) => receipt.data.order === topic));
  const chosen = orders.find(({ topic }) => topic === `orders/${route}`);

  useNew(bills, ({ topic }) => topic, continuity === "ok", (fresh) => {
    for (const { data } of fresh) say(`Table ${data.table} wants to pay`);
  });

  const list = (title: string, some: readonly Known<Order>[], tone: string): ReactElement | null =>
    some.length === 0 ? null : (
      <>
        <h2>
          {title} <span className="muted">{some.length}</span>
        </h2>
        <ul className="bills">
          {some.map((order) => (
            <BillRow
              key={order.topic}
              order={order}
              amount={total(linesOf(lines, order.topic), { fired: true })}
              tone={tone}
              chosen={order.topic === chosen?.topic}
              open={() => go(order.topic.slice("orders/".length))}
            />
          ))}
        </ul>
      </>
    );

  return (
    <main className="till" data-view={chosen ? "bill" : "list"}>
      <section className="pane pane-bills" aria-label="Bills">
        <div className="segments" role="group" aria-label="Part of the screen">
          <button type="button" className="segment" aria-pressed={part === "bills"} onClick={() => setPart("bills")}>
            Bills ({bills.length})
          </button>
          <button type="button" className="segment" aria-pressed={part === "receipts"} onClick={() => setPart("receipts")}>
            Receipts ({receipts.length})
          </button>
        </div>
        {part === "receipts" ? (
          <Receipts receipts={receipts} payments={payments} />
        ) : (
          <>
            {list("To pay", bills, "bill")}
            {list("Receipt to issue", unreceipted, "paid")}
            {list("Still open", open, "open")}
            {bills.length + open.length + unreceipted.length === 0 && <p className="empty">No open order in the house.</p>}
          </>
        )}
      </section>
      <section className="pane pane-bill" aria-label={chosen ? `Bill of table ${chosen.data.table}` : "Bill"}>
        {chosen ? (
          <Bill
            key={chosen.topic}
            order={chosen}
            lines={linesOf(lines, chosen.topic)}
            payment={payments.find(({ data }) => data.order === chosen.topic)}
            receipt={receipts.find(({ data }) => data.order === chosen.topic)}
            nameOf={nameOf}
            house={hub.house}
            back={() => go("")}
          />
        ) : (
          <p className="empty">Choose a bill.</p>
        )}
      </section>
    </main>
  );
}

function BillRow(props: { readonly order: Known<Order>; readonly amount: number; readonly tone: string; readonly chosen: boolean; readonly open: () => void }): ReactElement {
  const { order, amount, tone, chosen, open } = props;
  const { table, billAt, openedAt, method } = order.data;
  const now = useNow();
  return (
    <li>
      <button type="button" className={`bill-row bill-${tone}`} data-order={order.topic} data-status={order.data.status} aria-current={chosen ? "true" : undefined} onClick={open}>
        <span className="bill-table">Table {table}</span>
        <span className="bill-amount">{money(amount)}</span>
        <span className="bill-more muted">
          {method !== undefined && <Icon name={method === "card" ? "bill" : "money"} size={18} />}
          {method !== undefined ? `${method} · ` : ""}
          {since(billAt ?? openedAt, now)}
          <Marks of={order} />
        </span>
      </button>
    </li>
  );
}
