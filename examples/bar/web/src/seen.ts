// Until when this device has heard of the house: what a screen without a network shows is as of then.
import type { Client } from "@roxy/sdk";
import type { Observable } from "@roxy/sdk/store";
import type { RoxyEvents } from "./roxy.gen.ts";
import { createSignal } from "./signal.ts";

export interface Seen {
  /** In ms since 1970; 0 when it never did. */
  readonly at: Observable<number>;
  close(): void;
}

/** As often as heartbeats come, in ms: a minute is all that a screen tells. */
const EVERY = 5_000;

/** Notes the time while the client is up to date, in storage under key: a page that is reloaded without a network tells it. */
export function createSeen(client: Client<RoxyEvents>, storage: Storage, key: string): Seen {
  const at = createSignal(Number(storage.getItem(key) ?? 0));
  const look = (): void => {
    if (client.state.get() !== "live" || client.continuity.get() !== "ok") return;
    at.set(Date.now());
    storage.setItem(key, String(at.get()));
  };
  const stops = [client.state.subscribe(look), client.continuity.subscribe(look)];
  const timer = setInterval(look, EVERY);
  return {
    at,
    close() {
      clearInterval(timer);
      for (const stop of stops) stop();
    },
  };
}
