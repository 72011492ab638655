// What an outbox offers, and what it needs.
import type { Clock } from "../core/clock.ts";
import type { Observable } from "../core/observable.ts";
import type { Conflict, Decision } from "./conflict.ts";
import type { Entry, Storage } from "./storage.ts";
import type { Mutation, Problem, Result, Transport } from "./wire.ts";

/** What became of a mutation, once and for all. */
export type Settlement =
  | { readonly id: string; readonly topic: string; readonly status: "committed"; readonly version: number }
  | { readonly id: string; readonly topic: string; readonly status: "refused" | "parked"; readonly problem: Problem }
  | { readonly id: string; readonly topic: string; readonly status: "cancelled" };

/** A mutation that was asked for, or several that are committed all or none. */
export interface Pending {
  /** What is asked for behind a mutation of the same entity that was not sent yet may become one with it, and then has its id. */
  readonly id: string;
  /** Of all mutations of an atomic request, in its order; otherwise id alone. */
  readonly ids: readonly string[];
  /** True once it will survive whatever the storage survives; false when it could not be stored, and so was taken back. */
  readonly accepted: Promise<boolean>;
  /**
   * What became of it; of several, of that which was refused, else of the first. It never rejects; when the page ends first,
   * Options.settled of the next one hears of it.
   */
  readonly settled: Promise<Settlement>;
  /** Takes it back: at once when it was never sent, else as the hub says, with all that became one with it. Resolves like settled. */
  cancel(): Promise<Settlement>;
}

/** A mutation to add: the outbox gives it an id, a device and a seq. */
export interface Draft extends Omit<Mutation, "id" | "device" | "seq"> {
  /** It is not worth sending when it has waited for so many milliseconds: then it is parked. */
  readonly ttl?: number | undefined;
}

/** What several tabs over one storage say to each other: a BroadcastChannel of theirs, or anything that reaches all but the sender. */
export interface Signal {
  readonly post: (word: unknown) => void;
  /** Calls listener with what others post, until the function it returns is called. */
  readonly listen: (listener: (word: unknown) => void) => () => void;
}

/** Whether this tab sends, of several over one storage: one at most may. */
export type Leadership = Observable<boolean>;

/** Where an outbox gets what it needs. */
export interface Options {
  readonly transport: Transport;
  readonly storage: Storage;
  readonly clock: Clock;
  /** Makes ids that nobody else makes: uuidsV7. */
  readonly newId: () => string;
  /** Between 0 and 1: Math.random. */
  readonly random: () => number;
  /** The name that the stream subscribes with as device: its receipts come there. The storage's without it. */
  readonly device?: string | undefined;
  /** The device's time in milliseconds, which goes on over reloads: Date.now without it. */
  readonly now?: () => number;
  /** Of several tabs the one that leads sends, and decides conflicts; what the others ask for, it takes over from the storage. */
  readonly leadership?: Leadership | undefined;
  readonly signal?: Signal | undefined;
  /** Decides conflicts; "theirs" without it. */
  readonly conflict?: (conflict: Conflict) => Decision;
  /**
   * Hears what becomes of every mutation that this page asked for; the page that sends hears of all, also of those that were asked
   * for before a reload.
   */
  readonly settled?: (settlement: Settlement) => void;
  /** Answers other than a decision that one mutation may get before it is parked. Zero means 20. */
  readonly attempts?: number;
}

/** Too much waits already: nothing was added. */
export class OutboxFull extends Error {
  override readonly name = "OutboxFull";
}

/** Mutations on their way to the hub. */
export interface Outbox {
  /** Resolves when what was stored is there, and the hub was asked about what it may have got. */
  readonly ready: Promise<void>;
  /** Adds a mutation, or several of different entities that are committed all or none. Throws OutboxFull. */
  add(...drafts: Draft[]): Pending;
  /** What to paint over an entity, in order. The array is another one only when it changed. */
  pending(topic: string): readonly Entry[];
  /** Topics for which something is pending. */
  topics(): string[];
  /** Refused, held and parked mutations: what a screen may want to show. Another array only when it changed. */
  troubled(): readonly Entry[];
  /** Calls back when what is pending for a topic changed. */
  subscribe(listener: (topic: string) => void): () => void;
  /** The entity's base is at version now, by the commit of mutation if that is given. */
  applied(topic: string, version: number, mutation?: string): void;
  /** Others changed what a queued mutation changes: the hub will refuse it. One that may have been sent is left alone. */
  overtaken(id: string, problem: Problem): void;
  /** A roxy:receipt. */
  receipt(result: Result): void;
  /** Forgets what was committed to a log that is lost (roxy:reset with reason epoch). */
  lost(): void;
  /** Decides a held conflict. */
  resolve(id: string, decision: Decision): void;
  /** Sends a parked mutation again, as a new one at the end of its lane. */
  retry(id: string): Pending | undefined;
  /** Forgets a refused or parked mutation. */
  dismiss(id: string): void;
  /** Begins or ends sending. A 401 pauses it until start or wake. */
  start(): void;
  stop(): void;
  /** Cuts waits short: the network, or a token that is taken, is back. A store does this when its stream is live. */
  wake(): void;
  /** Ends the outbox; what is stored stays. */
  close(): void;
}
