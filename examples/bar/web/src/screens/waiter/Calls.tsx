import type { ReactElement } from "react";
import type { House } from "../../house.ts";
import type { Known } from "../../model/orders.ts";
import { since } from "../../model/words.ts";
import { useNow } from "../../parts/hooks.ts";
import { Icon } from "../../parts/Icon.tsx";
import type { Call } from "../../roxy.gen.ts";

/** Tables that have pressed their button, until somebody goes there. */
export function Calls(props: { readonly calls: readonly Known<Call>[]; readonly house: House; readonly open: (table: number) => void }): ReactElement | null {
  const { calls, house, open } = props;
  const now = useNow();
  if (calls.length === 0) return null;
  return (
    <ul className="calls" aria-label="Calls">
      {calls.map(({ topic, data }) => (
        <li key={topic} className="call" data-call={data.table}>
          <button type="button" className="call-open" onClick={() => open(data.table)}>
            <Icon name={data.wants === "bill" ? "bill" : "bell"} />
            <span>
              <strong>Table {data.table}</strong> {data.wants === "bill" ? "wants to pay" : "calls"}
              {data.since !== undefined && <span className="call-since">{since(data.since, now)}</span>}
            </span>
          </button>
          <button type="button" className="button" onClick={() => house.answer(topic)}>
            Answer<span className="hidden"> table {data.table}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
