import { useState, type ReactElement } from "react";
import { useCollection } from "@roxy/sdk/react";
import type { Hub } from "../hub.ts";
import { money } from "../model/money.ts";
import { known, linesOf, total } from "../model/orders.ts";
import { Figures } from "../parts/Connection.tsx";
import { useObservable } from "../parts/hooks.ts";
import { AlarmList } from "./manager/AlarmList.tsx";
import { Audit } from "./manager/Audit.tsx";
import { Demo } from "./manager/Demo.tsx";
import { People } from "./manager/People.tsx";

const PARTS = [
  ["house", "House"],
  ["audit", "Audit"],
  ["people", "People"],
] as const;

/** The house at a glance: what nobody confirmed, figures, who is there, and what is going on. */
export function Manager({ hub, name }: { readonly hub: Hub; readonly name: (topic: string) => string }): ReactElement {
  const tables = useCollection("tables/*").filter(known);
  const orders = useCollection("orders/*").filter(known);
  const lines = useCollection("lines/*").filter(known);
  const payments = useCollection("payments/*").filter(known);
  const products = useCollection("products/*").filter(known);
  const letters = useObservable(hub.alarms.letters);
  const cut = useObservable({ subscribe: hub.network.subscribe, get: hub.network.isCut });
  const [part, setPart] = useState<(typeof PARTS)[number][0]>("house");

  const taken = payments.filter(({ data }) => data.status === "taken");
  const openValue = orders.filter(({ data }) => data.status === "open" || data.status === "bill").reduce((sum, order) => sum + total(linesOf(lines, order.topic), { fired: true }), 0);
  const fired = (status: string): number => lines.filter(({ data }) => data.status === status).length;
  const figures: readonly (readonly [string, string, string])[] = [
    ["taken", "Taken tonight", money(taken.reduce((sum, { data }) => sum + data.amount, 0))],
    ["open", "On open tables", money(openValue)],
    ["tables", "Tables taken", `${tables.filter(({ data }) => data.status !== "free").length} of ${tables.length}`],
    ["waiting", "Lines waiting", String(fired("new") + fired("preparing"))],
    ["ready", "Lines ready", String(fired("ready"))],
    ["out", "Sold out", String(products.filter(({ data }) => !data.available).length)],
  ];

  return (
    <main className="manager" data-part={part}>
      <div className="segments only-phone" role="group" aria-label="Part of the screen">
        {PARTS.map(([which, word]) => (
          <button key={which} type="button" className="segment" aria-pressed={part === which} onClick={() => setPart(which)}>
            {word}
          </button>
        ))}
      </div>
      <AlarmList letters={letters} name={name} dismiss={(event) => hub.alarms.dismiss(event)} />
      <section className="panel panel-house" aria-label="The house">
        <h2>The house</h2>
        <dl className="tiles">
          {figures.map(([id, name, value]) => (
            <div key={id} className="tile" data-figure={id}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        <h2>Sold out</h2>
        <p className="muted">{products.filter(({ data }) => !data.available).map(({ data }) => data.name).join(", ") || "Everything is available."}</p>
        <Demo hub={hub} />
      </section>
      <section className="panel panel-audit" aria-label="Audit">
        <Audit hub={hub} name={name} />
      </section>
      <section className="panel panel-people" aria-label="People and connection">
        <People />
        <h2>This connection</h2>
        <Figures cut={cut} />
      </section>
    </main>
  );
}
