import type { Entity, Guard, Op, Problem } from "./wire.ts";
import type { JsonObject } from "../store/json.ts";

/**
 * Where a mutation of the outbox stands:
 * queued (never sent) → sent (the hub may have it) → committed (until the store has that version) or refused;
 * cancelling: the hub is asked to make sure that it never commits; held: a conflict waits for the app's word;
 * parked: certainly not committed, and not tried any more;
 * done: taken back, dismissed or in the store, and kept for a moment until all tabs have seen how it ended.
 */
export type State = "queued" | "sent" | "cancelling" | "committed" | "refused" | "held" | "parked" | "done";

/** One mutation as it is stored. An entry is replaced, never changed. */
export interface Entry {
  /** Counts the mutations of this database, and is their order; 0 until it is stored. */
  readonly seq: number;
  readonly id: string;
  readonly topic: string;
  readonly op: Op;
  readonly data?: JsonObject | undefined;
  readonly patch?: JsonObject | undefined;
  readonly guard: Guard;
  readonly base?: number | undefined;
  readonly type?: string;
  readonly correlation?: string;
  /** What an atomic request's mutations have in common. */
  readonly group?: string | undefined;
  /** It is not worth sending when it is older than so many milliseconds, by the device's clock; at is when it was asked for. */
  readonly ttl?: number | undefined;
  readonly at?: number;
  readonly state: State;
  /** The device that it was first sent as. */
  readonly device?: string | undefined;
  /** The device's time when it was sent last, in milliseconds. */
  readonly sentAt?: number;
  /** That the hub gave it, when committed. */
  readonly version?: number | undefined;
  /** Why it was refused, is held or was parked. */
  readonly problem?: Problem | undefined;
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
  /** Keeps new entries, all or none, and gives each its seq: greater than any given before, in any tab, those of removed ones included. */
  add(entries: readonly Entry[]): Promise<readonly number[]>;
  /** Replaces the entries of the same seq, all or none; one that is no longer there stays away. */
  put(entries: readonly Entry[]): Promise<void>;
  /** Forgets an entry; one that is not there is no error. */
  remove(seq: number): Promise<void>;
  /** The name of the device whose mutations these are, for a client that has none. */
  device(): Promise<string | undefined>;
  /** What was kept of entities. */
  recall(): Promise<readonly Entity[]>;
  /** Keeps entities for the next page, and forgets those whose data is null. */
  keep(entities: readonly Entity[]): Promise<void>;
}

/** An outbox that lasts as long as the page: for tests, for Node, and where the browser keeps nothing. */
export function memoryStorage(device?: string): Storage {
  const entries = new Map<number, Entry>();
  let last = 0;
  return {
    durable: false,
    load: async () => [...entries.values()],
    add: async (all) =>
      all.map((entry) => {
        last++;
        entries.set(last, { ...entry, seq: last });
        return last;
      }),
    put: async (all) => all.forEach((entry) => entries.has(entry.seq) && entries.set(entry.seq, entry)),
    remove: async (seq) => void entries.delete(seq),
    device: async () => device,
    recall: async () => [],
    keep: async () => {},
  };
}
