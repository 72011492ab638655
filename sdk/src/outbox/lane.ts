import type { Timer } from "../core/clock.ts";
import type { Draft, Settlement } from "./api.ts";
import type { Entry, State } from "./storage.ts";
import type { Mutation, Problem } from "./wire.ts";

/** What is sent at once: a mutation, or several that are committed all or none; and what only this page knows of it. */
export interface Request {
  readonly slots: Slot[];
  /** Who asked for it: several when what they asked for became one mutation. */
  asks: Ask[];
  /** This page asked for it. */
  readonly own: boolean;
  /** Of the sort that asks can be taken out of, and added to. */
  fresh: boolean;
  /** The call about it that is under way; one to cancel does not wait for the others. */
  busy?: { readonly cancelling: boolean } | undefined;
  /** Some earlier call about it may have reached the hub. */
  uncertain: boolean;
  /** It was asked to be taken back: a conflict then needs no decision. */
  taking: boolean;
  /** Calls, and those among them that were answered without a decision. */
  tries: number;
  failures: number;
  /** Until the next call, and until it is not worth sending any more. */
  timer?: Timer;
  expiry?: Timer;
  /** What it is once it can never commit; nothing when its author took it back. */
  why?: { readonly problem: Problem; readonly park: boolean } | undefined;
  /** Whether it was stored, once that is known. */
  stored: Promise<boolean>;
}

/** One mutation of a request. */
export interface Slot {
  entry: Entry;
  readonly request: Request;
  end?: Settlement;
}

export interface Ask {
  readonly draft: Draft;
  readonly settle: (settlement: Settlement) => void;
}

/** The mutations of one entity in order. */
export type Lane = readonly Slot[];

const painted: readonly State[] = ["queued", "sent", "cancelling", "committed", "held"];
const waits: readonly State[] = ["queued", "sent", "cancelling", "held"];
const troubles: readonly State[] = ["refused", "held", "parked"];
const none: readonly Entry[] = Object.freeze([]);

/** Whether a mutation keeps those behind it waiting. */
export const waiting = ({ entry }: Slot): boolean => waits.includes(entry.state);
/** Whether the hub was asked about it, and its word is not known. */
export const asked = ({ entry: { state } }: Slot): boolean => state === "sent" || state === "cancelling";

/** All lanes of an outbox. */
export interface Lanes {
  /** Puts a request of these mutations behind those of a lower seq; what has no seq yet is last. */
  insert(entries: readonly Entry[], own: boolean, asks: Ask[]): Request;
  /** Puts one more into a request. */
  join(request: Request, entry: Entry): void;
  remove(slot: Slot): void;
  has(slot: Slot): boolean;
  find(id: string, seq?: number): Slot | undefined;
  lane(topic: string): Lane;
  each(): Lane[];
  slots(): Slot[];
  pending(topic: string): readonly Entry[];
  topics(): string[];
  troubled(): readonly Entry[];
  /** What is pending for topic may have changed. */
  touch(topic: string): void;
}

/** Returns lanes without any mutation. */
export function lanesOf(): Lanes {
  const lanes = new Map<string, Slot[]>();
  const views = new Map<string, readonly Entry[]>();
  let troubled: readonly Entry[] | undefined;

  const touch = (topic: string): void => {
    views.delete(topic);
    troubled = undefined;
  };
  const join = (request: Request, entry: Entry): void => {
    const slot: Slot = { entry, request };
    request.slots.push(slot);
    const lane = lanes.get(entry.topic) ?? [];
    lanes.set(entry.topic, lane);
    const at = entry.seq ? lane.findIndex((s) => !s.entry.seq || s.entry.seq > entry.seq) : -1;
    lane.splice(at < 0 ? lane.length : at, 0, slot);
    touch(entry.topic);
  };
  const slots = (): Slot[] => [...lanes.values()].flat();
  return {
    join,
    insert(entries, own, asks) {
      const request: Request = {
        slots: [],
        asks,
        own,
        fresh: true,
        uncertain: false,
        taking: false,
        tries: 0,
        failures: 0,
        stored: Promise.resolve(true),
      };
      for (const entry of entries) join(request, entry);
      return request;
    },
    remove(slot) {
      const { topic } = slot.entry;
      const lane = lanes.get(topic)?.filter((s) => s !== slot) ?? [];
      if (lane.length > 0) lanes.set(topic, lane);
      else lanes.delete(topic);
      touch(topic);
    },
    has: (slot) => lanes.get(slot.entry.topic)?.includes(slot) ?? false,
    find: (id, seq) => slots().find(({ entry }) => entry.id === id || (seq !== undefined && entry.seq === seq)),
    lane: (topic) => lanes.get(topic) ?? [],
    each: () => [...lanes.values()],
    slots,
    pending(topic) {
      let view = views.get(topic);
      if (!view) {
        view = (lanes.get(topic) ?? []).map((s) => s.entry).filter((e) => painted.includes(e.state));
        if (view.length === 0) view = none;
        views.set(topic, view);
      }
      return view;
    },
    topics: () => [...lanes.keys()],
    troubled() {
      troubled ??= slots()
        .map((s) => s.entry)
        .filter((e) => troubles.includes(e.state))
        .sort((a, b) => a.seq - b.seq);
      return troubled;
    },
    touch,
  };
}

/** What is sent for an entry. */
export function wireOf({ seq, state, version, sentAt, problem, group, ttl, at, ...mutation }: Entry): Mutation {
  return mutation.device === undefined ? mutation : { ...mutation, seq };
}

/** What was asked for, to ask for it again. */
export function draftOf({ seq, state, version, sentAt, problem, group, at, id, device, ...draft }: Entry): Draft {
  return draft;
}
