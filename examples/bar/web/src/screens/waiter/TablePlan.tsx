import type { ReactElement } from "react";
import type { Known } from "../../model/orders.ts";
import { progress } from "../../model/orders.ts";
import { since } from "../../model/words.ts";
import { useNow } from "../../parts/hooks.ts";
import { Icon, type IconName } from "../../parts/Icon.tsx";
import { Marks } from "../../parts/Marks.tsx";
import type { Call, Line, Order, Table } from "../../roxy.gen.ts";

/** A table, and what is going on at it. */
export interface Place {
  readonly table: Known<Table>;
  readonly order: Known<Order> | undefined;
  readonly lines: readonly Known<Line>[];
  readonly progress: ReturnType<typeof progress>;
  readonly call: Known<Call> | undefined;
}

const WORDS: Readonly<Record<Place["progress"], readonly [string, IconName]>> = {
  empty: ["Seated", "guests"],
  draft: ["Order", "note"],
  waiting: ["Waiting", "clock"],
  ready: ["Ready", "bell"],
  served: ["Served", "check"],
};

/** What is to be said of a table: its state, with a picture. */
function stateOf({ table, order, progress }: Place): { readonly tone: string; readonly word: string; readonly icon: IconName } {
  if (table.data.status === "free") return { tone: "free", word: "Free", icon: "table" };
  if (order?.data.status === "paid") return { tone: "paid", word: "Paid", icon: "check" };
  if (progress === "ready") return { tone: "ready", word: "Ready", icon: "bell" };
  if (table.data.status === "bill") return { tone: "bill", word: "Bill", icon: "bill" };
  const [word, icon] = WORDS[progress];
  return { tone: progress, word, icon };
}

/** All tables, each a button. */
export function TablePlan(props: { readonly places: readonly Place[]; readonly selected: number | undefined; readonly open: (table: number) => void }): ReactElement {
  const { places, selected, open } = props;
  const now = useNow();
  return (
    <ul className="plan">
      {places.map((place) => {
        const { table, call } = place;
        const { number, guests, seatedAt, status } = table.data;
        const { tone, word, icon } = stateOf(place);
        return (
          <li key={table.topic}>
            <button
              type="button"
              className={`place place-${tone}`}
              data-table={number}
              data-status={status}
              aria-current={selected === number ? "true" : undefined}
              onClick={() => open(number)}
            >
              <span className="place-number">
                <span className="hidden">Table </span>
                {number}
              </span>
              <span className="place-signs">
                {call && (
                  <span className="place-call">
                    <Icon name="bell" size={20} />
                    <span className="hidden">calls</span>
                  </span>
                )}
                <Marks of={table} bare />
              </span>
              <span className="place-state">
                <Icon name={icon} size={18} />
                {word}
              </span>
              <span className="place-more">
                {status !== "free" && (
                  <>
                    <Icon name="guests" size={16} />
                    {guests ?? "?"}
                    <span className="hidden"> guests</span>
                    <span>· {since(seatedAt, now)}</span>
                  </>
                )}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
