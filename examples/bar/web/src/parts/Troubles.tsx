import { useState, type ReactElement } from "react";
import { useEntities } from "@roxy/sdk/react";
import type { Entry } from "@roxy/sdk/outbox";
import { deed, field, value } from "../model/words.ts";
import { Dialog } from "./Dialog.tsx";
import { useObservable } from "./hooks.ts";
import { Icon } from "./Icon.tsx";

/** What the hub refused, gave up, or leaves to the person to decide. It stays until somebody has dealt with it. */
export function Troubles({ name }: { readonly name: (topic: string) => string }): ReactElement | null {
  const entities = useEntities();
  const troubled = requests(useObservable(entities.troubled));
  const [asked, setAsked] = useState<string>();
  if (troubled.length === 0) return null;
  const conflict = troubled.find(({ id, state }) => state === "held" && id === asked);
  return (
    <section className="troubles" aria-label="Changes that need you">
      {troubled.map((entry) => (
        <div key={entry.id} className={`trouble trouble-${entry.state}`} role="alert">
          <Icon name="warning" />
          <p>
            <strong>{deed(entry)}</strong> · {name(entry.topic)}
            <br />
            <span className="muted">{why(entry)}</span>
          </p>
          {entry.state === "held" ? (
            <button type="button" className="button primary" onClick={() => setAsked(entry.id)}>
              Decide
            </button>
          ) : (
            <>
              {entry.state === "parked" && (
                <button type="button" className="button" onClick={() => entities.retry(entry.id)}>
                  Try again
                </button>
              )}
              <button type="button" className="button" onClick={() => entities.dismiss(entry.id)}>
                Dismiss
              </button>
            </>
          )}
        </div>
      ))}
      {conflict && (
        <ConflictDialog
          entry={conflict}
          title={name(conflict.topic)}
          close={() => setAsked(undefined)}
          decide={(decision) => {
            entities.resolve(conflict.id, decision);
            setAsked(undefined);
          }}
        />
      )}
    </section>
  );
}

/** One entry for each request: what several changes were refused for together is one trouble. */
function requests(troubled: readonly Entry[]): readonly Entry[] {
  const told = new Map<string, Entry>();
  for (const entry of troubled) {
    const request = entry.group ?? entry.id;
    // The one that clashes says more than those that were refused along with it.
    if (!told.has(request) || entry.problem?.fields) told.set(request, entry);
  }
  return [...told.values()];
}

function why({ state, problem }: Entry): string {
  if (state === "held") return "Somebody else changed the same meanwhile.";
  if (state === "parked") return `Could not be sent: ${problem?.detail ?? problem?.code ?? "no answer"}`;
  if (problem?.code === "version-conflict") return "Somebody else was faster.";
  return `Refused: ${problem?.detail ?? problem?.code ?? "no reason given"}`;
}

/** Mine or theirs, field by field to look at, as a whole to decide. */
function ConflictDialog(props: {
  readonly entry: Entry;
  readonly title: string;
  readonly close: () => void;
  readonly decide: (decision: "mine" | "theirs") => void;
}): ReactElement {
  const { entry, title, close, decide } = props;
  const theirs = entry.problem?.current?.data;
  const mine = entry.op === "delete" ? undefined : (entry.patch ?? entry.data);
  const clashing = entry.problem?.fields ?? [];
  const fields = mine ? Object.keys(mine).filter((name) => clashing.includes(name)) : [];
  return (
    <Dialog title={`Two changes: ${title}`} close={close}>
      <p>You and somebody else changed this at the same time. Which one counts?</p>
      {entry.op === "delete" || !theirs ? (
        <table className="versus">
          <thead>
            <tr>
              <th scope="col">Yours</th>
              <th scope="col">Theirs</th>
            </tr>
          </thead>
          <tbody>
            <tr>
              <td>{entry.op === "delete" ? "removed" : "changed"}</td>
              <td>{theirs ? "changed" : "removed"}</td>
            </tr>
          </tbody>
        </table>
      ) : (
        <table className="versus">
          <thead>
            <tr>
              <td />
              <th scope="col">Yours</th>
              <th scope="col">Theirs</th>
            </tr>
          </thead>
          <tbody>
            {fields.map((name) => (
              <tr key={name}>
                <th scope="row">{field(name)}</th>
                <td>{value(mine?.[name])}</td>
                <td>{value(theirs[name])}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div className="actions">
        <button type="button" className="button primary" onClick={() => decide("mine")}>
          Keep mine
        </button>
        <button type="button" className="button" onClick={() => decide("theirs")}>
          Take theirs
        </button>
      </div>
    </Dialog>
  );
}
