import type { ReactElement } from "react";
import type { Ticket } from "../../model/orders.ts";
import { since } from "../../model/words.ts";
import { useNow } from "../../parts/hooks.ts";
import { Icon } from "../../parts/Icon.tsx";
import { Marks } from "../../parts/Marks.tsx";

/** From so many minutes on a ticket is late. */
const LATE = 15;

/** What was fired together: its lines, and the one button that leads on. */
export function TicketCard(props: {
  readonly ticket: Ticket;
  readonly nameOf: (product: string) => string;
  readonly confirm: () => void;
  readonly start: () => void;
  readonly ready: () => void;
}): ReactElement {
  const { ticket, nameOf, confirm, start, ready } = props;
  const { table, lines, status, firedAt, accepted } = ticket;
  const now = useNow();
  const late = status !== "ready" && now - Date.parse(firedAt) > LATE * 60_000;
  const marked = lines.find(({ conflict, pending }) => conflict || pending.length > 0) ?? lines.find(({ fromCache }) => fromCache);
  const about = <span className="hidden"> table {table}</span>;
  return (
    <li className={`ticket ticket-${status} ${accepted ? "" : "ticket-ringing"}`} data-ticket={ticket.id} data-status={status} data-table={table}>
      <p className="ticket-head">
        <span className="ticket-table">Table {table}</span>
        <span className={`ticket-age ${late ? "late" : "muted"}`}>
          {late && <Icon name="warning" size={18} />}
          {since(firedAt, now)}
        </span>
      </p>
      <ul className="ticket-lines">
        {lines.map(({ topic, data }) => (
          <li key={topic} data-line={topic} className={data.status === "cancelled" ? "cancelled" : ""}>
            <span className="ticket-count">{data.quantity}</span>
            <span className="ticket-name">
              {nameOf(data.product)}
              {data.status === "cancelled" && <span className="ticket-gone">Cancelled</span>}
              {data.note !== undefined && <span className="ticket-note">{data.note}</span>}
            </span>
          </li>
        ))}
      </ul>
      {marked && (
        <p className="ticket-marks">
          <Marks of={marked} />
        </p>
      )}
      {!accepted && (
        <button type="button" className="button alarm wide" onClick={confirm}>
          <Icon name="bell" />
          Confirm{about}
        </button>
      )}
      {accepted && status === "new" && (
        <button type="button" className="button primary wide" onClick={start}>
          <Icon name="flame" />
          Start{about}
        </button>
      )}
      {accepted && status === "preparing" && (
        <button type="button" className="button ready wide" onClick={ready}>
          <Icon name="check" />
          Ready{about}
        </button>
      )}
      {status === "ready" && <p className="muted ticket-wait">Waits for the waiter</p>}
    </li>
  );
}
