import { useEffect, useState, type ReactElement } from "react";
import { askAudit, type AuditRow } from "../../backend.ts";
import type { Hub } from "../../hub.ts";
import { useStaff } from "../../parts/staff.ts";

/** As whom the bar's server asks the hub: its questions are rows, too. */
const AUDITOR = "bar";

/** The hub's own audit trail, asked for anew when something has happened, and now and then. */
export function Audit({ hub, name }: { readonly hub: Hub; readonly name: (topic: string) => string }): ReactElement {
  const [rows, setRows] = useState<readonly AuditRow[]>([]);
  const [problem, setProblem] = useState<string>();
  const staffName = useStaff();
  useEffect(() => {
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      try {
        const { rows: next } = await askAudit(hub.network.platform, hub.access.session);
        if (!gone) [setRows(next), setProblem(undefined)];
      } catch (error) {
        if (!gone) setProblem(error instanceof Error ? error.message : String(error));
      }
      timer = undefined;
    };
    // A burst of events is one question, and so is each second of a busy house.
    const soon = (): void => void (timer ??= setTimeout(() => void ask(), 1_000));
    void ask();
    const stop = hub.client.subscribe("*", soon);
    const again = setInterval(soon, 10_000); // who connects is no event
    return () => {
      gone = true;
      stop();
      clearTimeout(timer);
      clearInterval(again);
    };
  }, [hub]);
  return (
    <>
      <h2>Audit, live</h2>
      {problem !== undefined && <p className="notice">{problem}</p>}
      <ol className="audit" tabIndex={0} aria-label="Audit rows, the newest first">
        {rows.filter(({ user }) => user !== AUDITOR).map((row) => (
          <li key={row.seq} className={`audit-row audit-${row.kind}`}>
            <time dateTime={row.time}>{row.time.slice(11, 19)}</time>
            <span className="audit-kind">{row.kind}</span>
            <span className="audit-what">
              {[row.type ?? row.reason, row.topic === undefined ? undefined : name(row.topic)].filter(Boolean).join(" · ")}
            </span>
            <span className="audit-who muted">
              {staffName(row.user)}
              {row.version !== undefined && ` · v${row.version}`}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}
