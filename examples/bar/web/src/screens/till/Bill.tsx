import { useId, useState, type ReactElement } from "react";
import type { House } from "../../house.ts";
import { cents, money } from "../../model/money.ts";
import { total, type Known } from "../../model/orders.ts";
import { Icon } from "../../parts/Icon.tsx";
import { useStaff } from "../../parts/staff.ts";
import { Marks } from "../../parts/Marks.tsx";
import type { Line, Order, Payment, PaymentMethod, Receipt } from "../../roxy.gen.ts";

const TIPS = [0, 5, 10, 15];

/** One bill: what was had, how it is paid, and the receipt. */
export function Bill(props: {
  readonly order: Known<Order>;
  readonly lines: readonly Known<Line>[];
  readonly payment: Known<Payment> | undefined;
  readonly receipt: Known<Receipt> | undefined;
  readonly nameOf: (product: string) => string;
  readonly house: House;
  readonly back: () => void;
}): ReactElement {
  const { order, lines, payment, receipt, nameOf, house, back } = props;
  const staffName = useStaff();
  const { table, status, waiter, method: wish = "card" } = order.data;
  const billed = lines.filter(({ data }) => data.status !== "cancelled" && data.status !== "draft");
  const amount = total(lines, { fired: true });
  return (
    <>
      <header className="pane-head">
        <button type="button" className="button quiet square back" aria-label="Back to the bills" onClick={back}>
          <Icon name="back" />
        </button>
        <h1>Table {table}</h1>
        <Marks of={order} />
        <p className="muted pane-note">{staffName(waiter)}</p>
      </header>
      <ul className="bill-lines" aria-label="Lines">
        {billed.map(({ topic, data }) => (
          <li key={topic} data-line={topic}>
            <span className="line-count">{data.quantity} ×</span>
            <span>{nameOf(data.product)}</span>
            <span>{money(data.quantity * data.price)}</span>
          </li>
        ))}
      </ul>
      <p className="pad-total">
        <span>Total</span>
        <output>{money(amount)}</output>
      </p>
      {status === "paid" ? (
        <Paid order={order} payment={payment} receipt={receipt} house={house} />
      ) : billed.length === 0 ? (
        <p className="empty">Nothing to pay yet.</p>
      ) : (
        <Take key={order.topic} amount={amount} wish={wish} take={(how) => house.pay(order, lines, how)} />
      )}
    </>
  );
}

/** How the guest pays, and the tip. */
function Take({ amount, wish, take }: { readonly amount: number; readonly wish: PaymentMethod; readonly take: (how: { method: PaymentMethod; tip: number }) => void }): ReactElement {
  const [method, setMethod] = useState<PaymentMethod>(wish);
  const [percent, setPercent] = useState(0);
  const [given, setGiven] = useState("");
  const id = useId();
  const tip = Math.round((amount * percent) / 100);
  const cash = cents(given);
  return (
    <div className="take">
      <div className="segments" role="group" aria-label="Paid by">
        {(["card", "cash"] as const).map((which) => (
          <button key={which} type="button" className="segment" aria-pressed={method === which} onClick={() => setMethod(which)}>
            {which === "card" ? "Card" : "Cash"}
          </button>
        ))}
      </div>
      <div className="segments" role="group" aria-label="Tip">
        {TIPS.map((which) => (
          <button key={which} type="button" className="segment" aria-pressed={percent === which} onClick={() => setPercent(which)}>
            {which === 0 ? "No tip" : `${which} %`}
          </button>
        ))}
      </div>
      {method === "cash" && (
        <div className="given">
          <label htmlFor={id}>Given</label>
          <input id={id} className="input" inputMode="decimal" placeholder="50.00" value={given} autoComplete="off" onChange={(event) => setGiven(event.target.value)} />
          <output aria-live="polite">
            {given === "" ? "" : cash === undefined ? "No amount" : cash < amount + tip ? `${money(amount + tip - cash)} missing` : `${money(cash - amount - tip)} change`}
          </output>
        </div>
      )}
      <button type="button" className="button primary wide huge" onClick={() => take({ method, tip })}>
        <Icon name={method === "card" ? "bill" : "money"} />
        Take {money(amount + tip)}
      </button>
    </div>
  );
}

function Paid(props: { readonly order: Known<Order>; readonly payment: Known<Payment> | undefined; readonly receipt: Known<Receipt> | undefined; readonly house: House }): ReactElement {
  const { order, payment, receipt, house } = props;
  return (
    <div className="take">
      {payment && (
        <p className="notice good" data-payment={payment.topic} data-amount={payment.data.amount}>
          <Icon name="check" />
          <span>
            {money(payment.data.amount)} taken by {payment.data.method}
            {(payment.data.tip ?? 0) > 0 && `, with ${money(payment.data.tip ?? 0)} tip`}
          </span>
          <Marks of={payment} />
        </p>
      )}
      {receipt ? (
        <p className="notice good">
          <Icon name="bill" />
          <span>Receipt issued</span>
          <Marks of={receipt} />
        </p>
      ) : (
        <button type="button" className="button primary wide huge" disabled={!payment} onClick={() => house.receipt(order)}>
          <Icon name="bill" />
          Issue the receipt
        </button>
      )}
    </div>
  );
}
