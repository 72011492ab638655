import { createElement, type ReactElement } from "react";
import { useConnectionHealth, useSyncStatus } from "./hooks.ts";

/** What the indicator may say, by its `data-status`. */
export interface StatusWords {
  readonly connecting: string;
  readonly live: string;
  /** Live, and fair or poor. */
  readonly weak: string;
  /** Live, and what was missed is being fetched anew. */
  readonly refreshing: string;
  readonly recovering: string;
  readonly offline: string;
  readonly "signed-out": string;
  readonly failed: string;
  readonly closed: string;
  /** Behind one of the others, while something that was written here waits for the hub. */
  readonly pending: string;
}

const ENGLISH: StatusWords = {
  connecting: "Connecting…",
  live: "Live",
  weak: "Live, weak connection",
  refreshing: "Live, refreshing…",
  recovering: "Reconnecting…",
  offline: "Offline",
  "signed-out": "Signed out",
  failed: "No connection",
  closed: "Disconnected",
  pending: "changes are waiting",
};

/** How it looks is the app's: by class name, or `[data-status]`, `[data-quality]` and `[data-sync]`. */
export interface ConnectionStatusIndicatorProps {
  /** `roxy-status` without it. */
  readonly className?: string;
  /** In the app's language; English for what is left out. */
  readonly words?: Partial<StatusWords>;
}

/** Tells in words how the connection is, to screen readers too. An absence of less than 5 s is not mentioned. */
export function ConnectionStatusIndicator({ className = "roxy-status", words }: ConnectionStatusIndicatorProps): ReactElement {
  const { state, quality, lost, continuity } = useConnectionHealth();
  const { sync } = useSyncStatus();
  const status = ((): keyof StatusWords => {
    switch (state) {
      case "idle":
      case "connecting":
        return "connecting";
      case "recovering":
      case "offline":
        return lost ? state : "live";
      case "needs-auth":
        return "signed-out";
      case "failed":
      case "closed":
        return state;
      case "live":
        return continuity === "reset" ? "refreshing" : quality === "fair" || quality === "poor" ? "weak" : "live";
    }
  })();
  const say = { ...ENGLISH, ...words };
  return createElement(
    "span",
    { role: "status", className, "data-status": status, "data-state": state, "data-quality": quality, "data-sync": sync },
    sync === "synced" ? say[status] : `${say[status]}, ${say.pending}`,
  );
}
