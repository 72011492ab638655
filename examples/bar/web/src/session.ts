// Who is signed in at this window. A reload goes on with the same session, also without a network; another window has its own.
import type { Observable } from "@roxy/sdk/store";
import { type Access, signInAs, type Role } from "./backend.ts";
import { openHub, type Hub } from "./hub.ts";
import { globalPlatform } from "@roxy/sdk";
import { createSignal } from "./signal.ts";

/** Nobody is signed in, somebody is being connected, or somebody works. */
export type Phase = { readonly is: "out"; readonly why?: string } | { readonly is: "opening" } | { readonly is: "in"; readonly hub: Hub };

export interface Session {
  readonly phase: Observable<Phase>;
  signIn(user: string, role: Role): Promise<void>;
  signOut(why?: string): void;
}

/** What the server said of who is signed in. */
const ACCESS = "bar:access";
/** Why somebody was signed out, over the reload that comes with it. */
const WHY = "bar:why";

/** Returns the window's session, and goes on with the one before a reload. */
export function createSession(): Session {
  const why = sessionStorage.getItem(WHY);
  sessionStorage.removeItem(WHY);
  const phase = createSignal<Phase>({ is: "out", ...(why !== null && { why }) });

  const keep = (access: Access): void => sessionStorage.setItem(ACCESS, JSON.stringify(access));

  const open = async (access: Access): Promise<void> => {
    keep(access);
    phase.set({ is: "in", hub: await openHub(access, { renewed: keep, signedOut: signOut }) });
  };

  const signOut = (why?: string): void => {
    const now = phase.get();
    if (now.is === "in") now.hub.close();
    sessionStorage.removeItem(ACCESS);
    phase.set({ is: "out", ...(why !== undefined && { why }) });
    if (now.is !== "in") return;
    if (why !== undefined) sessionStorage.setItem(WHY, why);
    location.replace(location.pathname); // lets go of the name of this window, too
  };

  // Nobody is asked whether the session still counts: the server is, when it has to give the next token.
  const goOn = async (access: Access): Promise<void> => {
    phase.set({ is: "opening" });
    try {
      await open(access);
    } catch (error) {
      phase.set({ is: "out", why: error instanceof Error ? error.message : String(error) });
    }
  };

  const kept = sessionStorage.getItem(ACCESS);
  if (kept !== null) void goOn(JSON.parse(kept) as Access);

  return {
    phase,
    async signIn(user, role) {
      phase.set({ is: "opening" });
      try {
        await open(await signInAs(globalPlatform(), user, role));
      } catch (error) {
        phase.set({ is: "out", why: error instanceof Error ? error.message : String(error) });
      }
    },
    signOut,
  };
}
