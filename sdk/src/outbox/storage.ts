import type { Guard, Op, Problem } from "./wire.ts";
import type { JsonObject } from "../store/json.ts";

/**
 * Where a mutation of the outbox stands:
 * queued (never sent) → sent (the hub may have it) → committed (until the store has that version) or refused;
 * cancelling: the hub is asked to make sure that it never commits; held: a conflict waits for the app's word;
 * parked: certainly not committed, and not tried any more.
 */
export type State = "queued" | "sent" | "cancelling" | "committed" | "refused" | "held" | "parked";

/** One mutation as it is stored. An entry is replaced, never changed. */
export interface Entry {
  /** Counts this device's mutations, and is their order; 0 until it is stored. */
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly op: Op;
  readonly data?: JsonObject;
  readonly patch?: JsonObject;
  readonly guard: Guard;
  readonly base?: number;
  readonly type?: string;
  readonly correlation?: string;
  readonly state: State;
  /** That the hub gave it, when committed. */
  readonly version?: number;
  /** The hub's time when it was first sent, in milliseconds, if that was known. */
  readonly sentAt?: number;
  /** Why it was refused, is held or was parked. */
  readonly problem?: Problem;
}

/**
 * What keeps the outbox over a reload. Calls take effect in the order in which they are made, also when they are not awaited; one
 * that rejects had no effect.
 */
export interface Storage {
  /** Whether what is kept survives the page. */
  readonly durable: boolean;
  /** All entries by seq. */
  load(): Promise<readonly Entry[]>;
  /** Keeps a new entry and gives it its seq: greater than any given before, in any tab, those of removed ones included. */
  add(entry: Omit<Entry, "seq">): Promise<number>;
  /** Replaces the entry of the same seq. */
  put(entry: Entry): Promise<void>;
  /** Forgets an entry; one that is not there is no error. */
  remove(seq: number): Promise<void>;
}

/** An outbox that lasts as long as the page: for tests, for Node, and where the browser keeps nothing. */
export function memoryStorage(): Storage {
  const entries = new Map<number, Entry>();
  let last = 0;
  return {
    durable: false,
    load: async () => [...entries.values()],
    add: async (entry) => {
      last++;
      entries.set(last, { ...entry, seq: last });
      return last;
    },
    put: async (entry) => void (entries.has(entry.seq) && entries.set(entry.seq, entry)),
    remove: async (seq) => void entries.delete(seq),
  };
}
