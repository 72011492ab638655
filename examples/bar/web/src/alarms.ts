// Dead letters: what was to be confirmed and was not. The manager is alarmed, and stays so until somebody has dealt with it.
import type { Client } from "@roxy/sdk";
import type { Readable } from "@roxy/sdk/store";
import type { BarEvents } from "./hub.ts";
import { createSignal } from "./signal.ts";

/** The data of roxy:unacked (docs/protocol.md §7), as far as a screen shows it. */
export interface DeadLetter {
  readonly event: string;
  readonly topic: string;
  readonly type: string;
  readonly by?: string;
  readonly time: string;
  readonly reason: "attempts" | "ttl" | "retention" | "no-audience";
  readonly attempt: number;
  readonly targets: number;
}

export interface Alarms {
  readonly letters: Readable<readonly DeadLetter[]>;
  dismiss(event: string): void;
  close(): void;
}

/** Hears dead letters, and keeps them in storage under key until they are dismissed. */
export function createAlarms(client: Client<BarEvents>, storage: Storage, key: string): Alarms {
  const letters = createSignal<readonly DeadLetter[]>(JSON.parse(storage.getItem(key) ?? "[]") as readonly DeadLetter[]);
  const keep = (next: readonly DeadLetter[]): void => {
    storage.setItem(key, JSON.stringify(next));
    letters.set(next);
  };
  const stop = client.subscribe("roxy:unacked", ({ data }) => {
    if (!letters.getSnapshot().some(({ event }) => event === data.event)) keep([data, ...letters.getSnapshot()].slice(0, 50));
  });
  return {
    letters,
    dismiss: (event) => keep(letters.getSnapshot().filter((letter) => letter.event !== event)),
    close: stop,
  };
}
