import { useId, useState, type ReactElement } from "react";
import { useConnectionHealth, useSyncStatus, type ConnectionHealth } from "@roxy/sdk/react";
import type { Network } from "../network.ts";
import { Dialog } from "./Dialog.tsx";
import { useLasting, useObservable } from "./hooks.ts";
import { Icon } from "./Icon.tsx";

const REASONS: Readonly<Record<ConnectionHealth["reasons"][number], string>> = {
  rtt: "answers take long",
  jitter: "answers are uneven",
  lag: "events come late",
  missed: "heartbeats were missed",
  drops: "the connection broke lately",
  resets: "something had to be fetched anew",
  ping: "calls fail",
  disconnected: "there is no connection",
};

/** What the chip says, and how bad that is. */
function summary({ state, quality, continuity, confident, lost }: ConnectionHealth, cut: boolean): { readonly word: string; readonly level: "ok" | "busy" | "bad" } {
  if (cut) return { word: "Offline", level: "bad" };
  switch (state) {
    case "live":
      if (continuity !== "ok") return { word: "Catching up", level: "busy" };
      if (confident && (quality === "poor" || quality === "fair")) return { word: quality === "poor" ? "Poor" : "Fair", level: "busy" };
      return { word: confident && quality === "excellent" ? "Excellent" : "Online", level: "ok" };
    case "needs-auth":
      return { word: "Sign in again", level: "bad" };
    case "closed":
      return { word: "Closed", level: "bad" };
    case "failed":
      return { word: "Failed", level: "bad" };
    case "offline":
      return { word: "Offline", level: "bad" };
    default:
      return lost ? { word: "Offline", level: "bad" } : { word: "Connecting", level: "busy" };
  }
}

/** The connection: one word, and behind it why, in figures. Beside it the switch that cuts this page's network. */
export function Connection({ network, reconnect }: { readonly network: Network; readonly reconnect: () => void }): ReactElement {
  const health = useConnectionHealth();
  const { waiting } = useSyncStatus();
  const cut = useObservable({ subscribe: network.subscribe, get: network.isCut });
  const [open, setOpen] = useState(false);
  const behind = useLasting(waiting > 0, 1_000);
  const { word, level } = summary(health, cut);
  return (
    <>
      <button type="button" className={`chip chip-${level}`} onClick={() => setOpen(true)} aria-haspopup="dialog">
        <Icon name={level === "bad" ? "cut" : "wifi"} size={20} />
        <span className="hidden">Connection: </span>
        {word}
        {behind && (
          <span className="chip-more">
            {waiting}
            <span className="chip-word"> to send</span>
          </span>
        )}
      </button>
      <span role="status" className="hidden">
        Connection: {word}
      </span>
      <button type="button" className="button cutter" role="switch" aria-checked={cut} onClick={() => (cut ? network.mend() : network.cut())}>
        <Icon name={cut ? "wifi" : "cut"} size={20} />
        <span>{cut ? "Go online" : "Go offline"}</span>
      </button>
      {open && (
        <Dialog title={`Connection: ${word.toLowerCase()}`} close={() => setOpen(false)}>
          <Figures cut={cut} />
          {(health.state === "closed" || health.state === "failed" || health.state === "needs-auth") && (
            <button type="button" className="button primary wide" onClick={reconnect}>
              Connect
            </button>
          )}
        </Dialog>
      )}
    </>
  );
}

/** Quality in figures, with the reasons in words. */
export function Figures({ cut }: { readonly cut: boolean }): ReactElement {
  const id = useId();
  const health = useConnectionHealth();
  const { waiting } = useSyncStatus();
  const reasons = cut ? ["the network of this page is cut"] : health.reasons.map((reason) => REASONS[reason]);
  const ms = (value: number | undefined): string => (value === undefined ? "not measured" : `${value} ms`);
  const rows: readonly (readonly [string, string])[] = [
    ["State", health.state],
    ["Quality", `${health.quality}${health.confident ? "" : " (not enough measured)"}`],
    ["Why", reasons.length > 0 ? reasons.join(", ") : "nothing keeps it from being better"],
    ["Screen", health.continuity === "ok" ? "up to date" : health.continuity === "reset" ? "something is missing" : "catching up"],
    ["Changes to send", String(waiting)],
    ["Round trip", ms(health.rttMs)],
    ["Jitter", ms(health.jitterMs)],
    ["Events behind", ms(health.lagMs)],
    ["Heartbeats missed", String(health.missedHeartbeats)],
    ["Breaks in 5 min", String(health.drops)],
  ];
  return (
    <dl className="figures" aria-labelledby={id}>
      <div id={id} className="hidden">
        Connection quality
      </div>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
