// Dead letters: what was to be confirmed and was not. The manager is alarmed, and stays so until somebody has dealt with it,
// also of what happened while no manager's screen was open: it is a stream of its own, which begins where the last one ended.
import { createClient, type ClientOptions, type Platform } from "@roxy/sdk";
import type { Observable } from "@roxy/sdk/store";
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
  readonly letters: Observable<readonly DeadLetter[]>;
  dismiss(event: string): void;
  close(): void;
}

/** Nobody can deal with what went wrong longer ago: the evening is over. */
const WITHIN = 12 * 3_600_000;

/** Hears dead letters, and keeps them in storage under key until they are dismissed. */
export function createAlarms(options: ClientOptions & { readonly platform: Platform }, storage: Storage, key: string): Alarms {
  const position = `${key} position`;
  const letters = createSignal<readonly DeadLetter[]>(JSON.parse(storage.getItem(key) ?? "[]") as readonly DeadLetter[]);
  const keep = (next: readonly DeadLetter[]): void => {
    storage.setItem(key, JSON.stringify(next));
    letters.set(next);
  };
  const client = createClient<{ "roxy:unacked": DeadLetter }>({ ...options, topics: ["roxy/dead-letters"], after: storage.getItem(position) ?? "earliest" });
  client.subscribe("roxy:unacked", ({ data, cursor }) => {
    const known = letters.get();
    if (Date.now() - Date.parse(data.time) < WITHIN && !known.some(({ event }) => event === data.event)) keep([data, ...known]);
    if (cursor !== undefined) storage.setItem(position, cursor);
  });
  return {
    letters,
    dismiss: (event) => keep(letters.get().filter((letter) => letter.event !== event)),
    close: () => client.close(),
  };
}

/** For who is not told of dead letters. */
export const NO_ALARMS: Alarms = { letters: createSignal<readonly DeadLetter[]>([]), dismiss() {}, close() {} };
