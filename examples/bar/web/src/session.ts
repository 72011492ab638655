// Who is signed in at this window. A reload goes on with the same session; another window has its own.
import type { Readable } from "@roxy/sdk/store";
import { type Access, renew, Refused, signInAs, type Role } from "./backend.ts";
import { openHub, type Hub } from "./hub.ts";
import { globalPlatform } from "@roxy/sdk";
import { createSignal } from "./signal.ts";

/** Nobody is signed in, somebody is being connected, or somebody works. */
export type Phase = { readonly is: "out"; readonly why?: string } | { readonly is: "opening" } | { readonly is: "in"; readonly hub: Hub };

export interface Session {
  readonly phase: Readable<Phase>;
  signIn(user: string, role: Role): Promise<void>;
  signOut(why?: string): void;
}

const KEY = "bar:session";

/** Returns the window's session, and goes on with the one before a reload. */
export function createSession(): Session {
  const phase = createSignal<Phase>({ is: "out" });

  const open = async (access: Access): Promise<void> => {
    sessionStorage.setItem(KEY, access.session);
    phase.set({ is: "in", hub: await openHub(access, signOut) });
  };

  const signOut = (why?: string): void => {
    const now = phase.getSnapshot();
    if (now.is === "in") now.hub.close();
    sessionStorage.removeItem(KEY);
    phase.set({ is: "out", ...(why !== undefined && { why }) });
    if (now.is === "in") location.replace(location.pathname); // lets go of the name of this window, too
  };

  const goOn = async (session: string): Promise<void> => {
    phase.set({ is: "opening" });
    try {
      await open(await renew(globalPlatform(), session));
    } catch (error) {
      if (error instanceof Refused && error.status === 401) sessionStorage.removeItem(KEY);
      phase.set({ is: "out", why: error instanceof Error ? error.message : String(error) });
    }
  };

  const kept = sessionStorage.getItem(KEY);
  if (kept !== null) void goOn(kept);

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
