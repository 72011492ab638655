import type { ReactElement } from "react";
import { useCollection, useConnectionHealth } from "@roxy/sdk/react";
import type { Hub } from "../hub.ts";
import { known, linesOf, progress } from "../model/orders.ts";
import { useNew } from "../parts/hooks.ts";
import { say } from "../parts/say.ts";
import { Calls } from "./waiter/Calls.tsx";
import { Menu } from "./waiter/Menu.tsx";
import { OrderPad } from "./waiter/OrderPad.tsx";
import { Seat } from "./waiter/Seat.tsx";
import { TablePlan, type Place } from "./waiter/TablePlan.tsx";

/** Tables, the order of one of them, and what can be ordered: beside each other on a tablet, one after the other on a phone. */
export function Waiter({ hub, route, go }: { readonly hub: Hub; readonly route: string; readonly go: (to: string) => void }): ReactElement {
  const tables = useCollection("tables/*").filter(known);
  const orders = useCollection("orders/*").filter(known);
  const lines = useCollection("lines/*");
  const calls = useCollection("calls/*").filter(known);
  const products = useCollection("products/*").filter(known);
  const { continuity } = useConnectionHealth();
  const [number, part] = route.split("/");
  const places: readonly Place[] = tables
    .map((table) => {
      const order = orders.find(({ topic }) => topic === table.data.order);
      const mine = order ? linesOf(lines, order.topic) : [];
      return { table, order, lines: mine, progress: progress(mine), call: calls.find(({ data }) => data.table === table.data.number) };
    })
    .sort((a, b) => a.table.data.number - b.table.data.number);
  const place = places.find(({ table }) => String(table.data.number) === number);
  const view = !place ? "tables" : part === "menu" ? "menu" : "order";

  useNew(places.flatMap((p) => p.lines.filter(({ data }) => data.status === "ready")), ({ topic }) => topic, continuity === "ok", (ready) => {
    for (const table of new Set(ready.map(({ data }) => data.table))) say(`Ready for table ${table}`);
  });
  useNew(calls, ({ topic, version }) => `${topic} ${version}`, continuity === "ok", (fresh) => {
    for (const { data } of fresh) say(data.wants === "bill" ? `Table ${data.table} wants to pay` : `Table ${data.table} calls`);
  });

  return (
    <main className="waiter" data-view={view}>
      <section className="pane pane-tables" aria-label="Tables">
        <Calls calls={calls} house={hub.house} open={(table) => go(String(table))} />
        <TablePlan places={places} selected={place?.table.data.number} open={(table) => go(String(table))} />
      </section>
      <section className="pane pane-order" aria-label={place ? `Table ${place.table.data.number}` : "Order"}>
        {!place && <p className="empty">Choose a table.</p>}
        {place && !place.order && <Seat key={place.table.topic} place={place} house={hub.house} back={() => go("")} />}
        {place?.order && (
          <OrderPad key={place.order.topic} place={place} order={place.order} products={products} house={hub.house} back={() => go("")} menu={() => go(`${number}/menu`)} />
        )}
      </section>
      <section className="pane pane-menu" aria-label="Menu">
        {place?.order ? (
          <Menu
            products={products}
            lines={place.lines}
            open={place.order.data.status === "open"}
            back={() => go(String(number))}
            add={(product) => hub.house.add(place.order!, place.lines, product)}
          />
        ) : (
          <p className="empty">The menu opens with an order.</p>
        )}
      </section>
    </main>
  );
}
