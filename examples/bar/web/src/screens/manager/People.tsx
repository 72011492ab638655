import type { ReactElement } from "react";
import { usePresence } from "@roxy/sdk/react";
import { since } from "../../model/words.ts";
import { useNow } from "../../parts/hooks.ts";
import { useStaff } from "../../parts/staff.ts";
import { Icon } from "../../parts/Icon.tsx";

/** Who has a screen open, by person. */
export function People(): ReactElement {
  // Streams without a device are no screens: the alarms have one of their own.
  const present = usePresence().filter(({ device }) => device !== undefined);
  const now = useNow();
  const staffName = useStaff();
  const users = [...new Set(present.map(({ user }) => user))].sort();
  return (
    <>
      <h2>
        Connected <span className="muted">{users.length}</span>
      </h2>
      <ul className="present">
        {users.map((user) => {
          const screens = present.filter((one) => one.user === user);
          const longest = screens.map(({ since: at }) => at ?? "").sort()[0];
          return (
            <li key={user} data-user={user}>
              <Icon name="wifi" size={20} />
              <span>{staffName(user)}</span>
              <span className="muted">
                {screens.length > 1 ? `${screens.length} screens · ` : ""}
                {since(longest || undefined, now)}
              </span>
            </li>
          );
        })}
      </ul>
    </>
  );
}
