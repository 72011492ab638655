import { useEffect, useRef, useState, type ReactElement } from "react";
import { askAudit, type AuditRow } from "../../backend.ts";
import type { Hub } from "../../hub.ts";
import { useReadable } from "../../parts/hooks.ts";

/** The hub's own audit trail, asked for anew whenever something happens, and now and then. */
export function Audit({ hub }: { readonly hub: Hub }): ReactElement {
  const [rows, setRows] = useState<readonly AuditRow[]>([]);
  const [problem, setProblem] = useState<string>();
  const events = useReadable(hub.feed.events);
  const asking = useRef(false);
  useEffect(() => {
    let gone = false;
    const ask = async (): Promise<void> => {
      if (asking.current) return;
      asking.current = true;
      try {
        const { rows: next } = await askAudit(hub.network.platform, hub.access.session);
        if (!gone) [setRows(next), setProblem(undefined)];
      } catch (error) {
        if (!gone) setProblem(error instanceof Error ? error.message : String(error));
      } finally {
        asking.current = false;
      }
    };
    // A burst of events is one question; what nobody publishes, such as who connects, is found by the second timer.
    const soon = setTimeout(() => void ask(), 400);
    const again = setInterval(() => void ask(), 5_000);
    return () => {
      gone = true;
      clearTimeout(soon);
      clearInterval(again);
    };
  }, [hub, events]);
  return (
    <>
      <h2>Audit, live</h2>
      {problem !== undefined && <p className="notice">{problem}</p>}
      <ol className="audit" tabIndex={0} aria-label="Audit rows, the newest first">
        {rows.map((row) => (
          <li key={row.seq} className={`audit-row audit-${row.kind}`}>
            <time dateTime={row.time}>{row.time.slice(11, 19)}</time>
            <span className="audit-kind">{row.kind}</span>
            <span className="audit-what">
              {row.type ?? row.reason ?? ""} {row.topic ?? ""}
            </span>
            <span className="audit-who muted">
              {row.user}
              {row.version !== undefined && ` · v${row.version}`}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}
