import { useEffect, useState, type ReactElement } from "react";
import { useCollection, useConnectionHealth } from "@roxy/sdk/react";
import type { Ring } from "../bell.ts";
import type { Hub } from "../hub.ts";
import { known, ticketsOf, type Ticket } from "../model/orders.ts";
import { useNew, useObservable } from "../parts/hooks.ts";
import { Icon } from "../parts/Icon.tsx";
import { say } from "../parts/say.ts";
import { ring } from "../parts/sound.ts";
import type { Station as StationName } from "../roxy.gen.ts";
import { SoldOut } from "./station/SoldOut.tsx";
import { TicketCard } from "./station/TicketCard.tsx";

const COLUMNS = [
  ["new", "New"],
  ["preparing", "Preparing"],
  ["ready", "Ready"],
] as const;

/** Whether the hub's critical event is about this ticket. */
function isAbout(call: Ring, ticket: Ticket): boolean {
  return call.order === ticket.order && call.data.firedAt === ticket.firedAt;
}

/** The tickets of the kitchen or the counter. New ones ring, and stay new, until somebody confirms them. */
export function Station({ hub, station }: { readonly hub: Hub; readonly station: StationName }): ReactElement {
  const { bell, house } = hub;
  const products = useCollection("products/*").filter(known);
  const tickets = ticketsOf(useCollection("lines/*"), station);
  const rings = useObservable(bell.rings);
  const { continuity } = useConnectionHealth();
  const [part, setPart] = useState<"tickets" | "products">("tickets");
  const nameOf = (product: string): string => products.find(({ topic }) => topic === `products/${product}`)?.data.name ?? product;
  const unconfirmed = tickets.filter((ticket) => !ticket.accepted);
  // A ticket whose lines are not here yet, or were cancelled at once: it rings all the same.
  const strays = rings.filter((call) => !tickets.some((ticket) => isAbout(call, ticket)));
  const ringing = unconfirmed.length + strays.length;
  const out = products.filter(({ data }) => data.station === station && !data.available).length;

  useEffect(() => (ringing > 0 ? ring() : undefined), [ringing > 0]);
  // Another screen of the station has confirmed it: nobody need press here, too.
  useEffect(() => {
    for (const call of rings) if (tickets.some((ticket) => isAbout(call, ticket) && ticket.accepted)) bell.confirm(call.id);
  });
  useNew(tickets, ({ id }) => id, continuity === "ok", (fresh) => {
    for (const { table, lines } of fresh) {
      say(`New ticket for table ${table}: ${lines.map(({ data }) => `${data.quantity} ${nameOf(data.product)}${data.note === undefined ? "" : `, ${data.note}`}`).join("; ")}`);
    }
  });

  const confirm = (ticket: Ticket): void => {
    house.accept(ticket.lines.filter(({ data }) => data.status === "new" && data.acceptedBy === undefined));
    for (const call of rings) if (isAbout(call, ticket)) bell.confirm(call.id);
  };

  return (
    <main className="station" data-part={part}>
      <div className="station-head">
        <h1>{station === "kitchen" ? "Kitchen" : "Counter"}</h1>
        <div className="segments" role="group" aria-label="Part of the screen">
          <button type="button" className="segment" aria-pressed={part === "tickets"} onClick={() => setPart("tickets")}>
            Tickets ({tickets.length})
          </button>
          <button type="button" className="segment" aria-pressed={part === "products"} onClick={() => setPart("products")}>
            Sold out ({out})
          </button>
        </div>
      </div>
      {ringing > 0 && (
        <p className="ringing" role="alert">
          <Icon name="bell" size={28} />
          {ringing === 1 ? "One new order to confirm" : `${ringing} new orders to confirm`}
        </p>
      )}
      {part === "products" ? (
        <SoldOut products={products.filter(({ data }) => data.station === station)} set={(product, available) => house.available(product, available)} />
      ) : (
        <div className="columns">
          {COLUMNS.map(([status, title]) => {
            const mine = tickets.filter((ticket) => ticket.status === status);
            return (
              <section key={status} className={`column column-${status}`} aria-label={title}>
                <h2>
                  {title} <span className="muted">{mine.length}</span>
                </h2>
                <ul className="tickets">
                  {status === "new" &&
                    strays.map((call) => (
                      <li key={call.id} className="ticket ticket-ringing" data-ring={call.id}>
                        <p className="ticket-head">
                          <span className="ticket-table">Table {call.data.table}</span>
                        </p>
                        <ul className="ticket-lines">
                          {call.data.items.map((item, at) => (
                            <li key={at}>
                              <span className="ticket-count">{item.quantity}</span>
                              <span className="ticket-name">{nameOf(item.product)}</span>
                            </li>
                          ))}
                        </ul>
                        <button type="button" className="button alarm wide" onClick={() => bell.confirm(call.id)}>
                          Confirm
                        </button>
                      </li>
                    ))}
                  {mine.map((ticket) => (
                    <TicketCard
                      key={ticket.id}
                      ticket={ticket}
                      nameOf={nameOf}
                      confirm={() => confirm(ticket)}
                      start={() => house.start(ticket.lines.filter(({ data }) => data.status === "new"))}
                      ready={() => house.ready(ticket.lines.filter(({ data }) => data.status === "new" || data.status === "preparing"))}
                    />
                  ))}
                </ul>
                {mine.length === 0 && (status !== "new" || strays.length === 0) && <p className="empty">None</p>}
              </section>
            );
          })}
        </div>
      )}
    </main>
  );
}
