import type { ReactElement } from "react";
import { money } from "../../model/money.ts";
import type { Known } from "../../model/orders.ts";
import { Marks } from "../../parts/Marks.tsx";
import type { Payment, Receipt } from "../../roxy.gen.ts";

/** What was taken tonight. */
export function Receipts({ receipts, payments }: { readonly receipts: readonly Known<Receipt>[]; readonly payments: readonly Known<Payment>[] }): ReactElement {
  const taken = payments.filter(({ data }) => data.status === "taken");
  const sum = (method: "card" | "cash"): number => taken.filter(({ data }) => data.method === method).reduce((all, { data }) => all + data.amount, 0);
  return (
    <>
      <dl className="figures">
        <div>
          <dt>Card</dt>
          <dd>{money(sum("card"))}</dd>
        </div>
        <div>
          <dt>Cash</dt>
          <dd>{money(sum("cash"))}</dd>
        </div>
        <div>
          <dt>Tips</dt>
          <dd>{money(taken.reduce((all, { data }) => all + (data.tip ?? 0), 0))}</dd>
        </div>
      </dl>
      {receipts.length === 0 && <p className="empty">No receipt yet.</p>}
      <ul className="bills">
        {receipts.map((receipt) => (
          <li key={receipt.topic} className="bill-row" data-receipt={receipt.topic}>
            <span className="bill-table">Table {receipt.data.table}</span>
            <span className="bill-amount">{money(receipt.data.total)}</span>
            <span className="bill-more muted">
              {receipt.data.method} · {receipt.data.issuedAt === undefined ? "" : new Date(receipt.data.issuedAt).toLocaleTimeString("en-IE", { hour: "2-digit", minute: "2-digit" })}
              <Marks of={receipt} />
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
