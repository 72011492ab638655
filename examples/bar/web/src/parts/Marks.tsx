import type { ReactElement } from "react";
import { useConnectionHealth } from "@roxy/sdk/react";
import type { View } from "@roxy/sdk/store";
import { Icon } from "./Icon.tsx";

/** Says that the hub does not have this yet, that somebody else changed the same, or that nothing was heard of it since a reload. */
export function Marks({ of, bare = false }: { readonly of: View<object>; readonly bare?: boolean }): ReactElement | null {
  const { state } = useConnectionHealth();
  if (of.conflict) {
    return (
      <span className="mark mark-conflict">
        <Icon name="warning" size={18} />
        <span className={bare ? "hidden" : ""}>Conflict</span>
      </span>
    );
  }
  if (of.pending.length === 0) {
    if (!of.fromCache || state === "live") return null;
    return (
      <span className="mark mark-cached">
        <Icon name="cut" size={bare ? 16 : 18} />
        <span className={bare ? "hidden" : ""}>Last known</span>
      </span>
    );
  }
  return (
    <span className="mark mark-pending">
      <Icon name="clock" size={18} />
      <span className={bare ? "hidden" : ""}>{state === "live" ? "Saving" : "Waits for the network"}</span>
    </span>
  );
}
