import type { ReactElement } from "react";
import { RoxyProvider } from "@roxy/sdk/react";
import { useObservable } from "./parts/hooks.ts";
import { Staff } from "./parts/staff.ts";
import { Login } from "./screens/Login.tsx";
import { Signed } from "./screens/Signed.tsx";
import type { Session } from "./session.ts";

/** The login page, or the screen of who signed in. */
export function App({ session }: { readonly session: Session }): ReactElement {
  const phase = useObservable(session.phase);
  switch (phase.is) {
    case "out":
      return <Login session={session} why={phase.why} />;
    case "opening":
      return (
        <p className="opening" role="status">
          One moment …
        </p>
      );
    case "in":
      return (
        <RoxyProvider client={phase.hub.client} entities={phase.hub.entities}>
          <Staff value={phase.hub.access.staff}>
            <Signed hub={phase.hub} leave={() => session.signOut()} />
          </Staff>
        </RoxyProvider>
      );
  }
}
