import { createElement, type ReactElement } from "react";
import type { State } from "../core/connection.ts";
import { useConnectionHealth } from "./hooks.ts";

/** What the indicator may tell: a state, or of `live` that the connection is fair or poor, or that what was missed is fetched anew. */
export type Status = State | "weak" | "refreshing";

const ENGLISH: Readonly<Record<Status, string>> = {
  idle: "Connecting…",
  connecting: "Connecting…",
  live: "Live",
  weak: "Weak connection",
  refreshing: "Refreshing…",
  recovering: "Reconnecting…",
  offline: "Offline",
  "needs-auth": "Signed out",
  failed: "No connection",
  closed: "Disconnected",
};

/** How it looks is the app's: by class name, `[data-status]` and `[data-quality]`. */
export interface ConnectionStatusIndicatorProps {
  /** `roxy-status` without it. */
  readonly className?: string;
  /** In the app's language; English for what is left out. */
  readonly words?: Partial<Record<Status, string>>;
}

/** Tells in words how the connection is, to screen readers too. An absence of less than 5 s is not mentioned. */
export function ConnectionStatusIndicator({ className = "roxy-status", words }: ConnectionStatusIndicatorProps): ReactElement {
  const { state, quality, lost, continuity } = useConnectionHealth();
  let status: Status = state;
  if (!lost && ["recovering", "offline"].includes(state)) status = "live";
  if (state === "live" && ["fair", "poor"].includes(quality)) status = "weak";
  if (state === "live" && continuity === "reset") status = "refreshing";
  return createElement("span", { role: "status", className, "data-status": status, "data-quality": quality }, words?.[status] ?? ENGLISH[status]);
}
