import type { ReactElement } from "react";
import { useCollection, useConnectionHealth, useSyncStatus } from "@roxy/sdk/react";
import type { Seen } from "../seen.ts";
import { useLasting, useObservable } from "./hooks.ts";
import { Icon } from "./Icon.tsx";

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** Says that there is no network, as of when the screen is, and what becomes of changes. Breaks of a moment are not told. */
export function NoNetwork({ seen }: { readonly seen: Seen }): ReactElement | null {
  const { lost, state } = useConnectionHealth();
  const { waiting } = useSyncStatus();
  const at = useObservable(seen.at);
  // All roles follow the products: while they are those of an earlier page, this one has heard nothing.
  const cached = useCollection("products/*").some(({ fromCache }) => fromCache);
  const deaf = useLasting(cached && state !== "live", 1_000);
  if (!lost && !deaf) return null;
  return (
    <p className="notice banner" role="status">
      <Icon name="cut" />
      <span>
        No connection. {at > 0 && `This is the house as of ${CLOCK.format(at)}. `}
        {waiting > 0 ? `${waiting} ${waiting === 1 ? "change waits" : "changes wait"} on this device and will be sent.` : "You can go on working: changes wait on this device."}
      </span>
    </p>
  );
}
