import { createListeners } from "../core/observable.ts";
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
  /** It is one mutation that does what its asks say. */
  plain: boolean;
  /** A call about it is under way, to cancel it or not: one to cancel does not wait for another. */
  busy?: boolean | undefined;
  /** Calls, by this page or one before: of several the earlier may have reached the hub. Those that were answered without a decision. */
  tries: number;
  failures: number;
  /** When the next call may be made, and when what is done of it is forgotten. */
  due: number;
  until: number;
  /** What it is once the hub has made sure that it never commits. */
  otherwise: readonly [state: End, problem?: Problem | undefined];
  /** Who leads has forgotten it, and this page did not hear why. */
  gone?: boolean;
  /** Until it was stored; rejects when it could not be. */
  stored: Promise<unknown>;
}

/** How a mutation ends that is not committed. */
export type End = "refused" | "parked" | "done";

/** One mutation of a request. */
export interface Slot {
  entry: Entry;
  readonly request: Request;
  /** Options.settled has heard how it ended. */
  told: boolean;
}

export interface Ask {
  readonly draft: Draft;
  settle: (settlement: Settlement) => void;
}

/** The mutations of one entity in order. */
export type Lane = readonly Slot[];

const waits: readonly State[] = ["queued", "sent", "cancelling", "held"];
const painted: readonly State[] = [...waits, "committed"];
const troubles: readonly State[] = ["refused", "held", "parked"];
const none: readonly Entry[] = [];

/** Whether a mutation keeps those behind it waiting. */
export const waiting = ({ entry }: Slot): boolean => waits.includes(entry.state);
/** Whether the hub was asked about it, and its word is not known. */
export const asked = ({ entry: { state } }: Slot): boolean => state === "sent" || state === "cancelling";
export const cancelling = ({ entry }: Slot): boolean => entry.state === "cancelling";

/** All lanes of an outbox. */
export interface Lanes {
  /** Puts a request of these mutations behind those of a lower seq; what has no seq yet is last. */
  insert(entries: readonly Entry[], asks: Ask[], own: boolean): Request;
  replace(slot: Slot, entry: Entry): void;
  change(slots: Lane, to: Partial<Entry>): void;
  remove(slot: Slot): void;
  find(id: string, seq?: number): Slot | undefined;
  lane(topic: string): Lane;
  all(): Slot[];
  pending(topic: string): readonly Entry[];
  topics(): string[];
  troubled(): readonly Entry[];
  subscribe(listener: (topic: string) => void): () => void;
  /** Tells of the topics that have changed since it was called last: what changes together is told of together. */
  tell(): void;
}

/** Returns lanes without any mutation. */
export function lanesOf(): Lanes {
  const lanes = new Map<string, Lane>();
  const views = new Map<string, readonly Entry[]>();
  let troubled: readonly Entry[] | undefined;
  const changed = new Set<string>();
  // What a listener throws is a rejection that nobody handles: the platform reports it, and the others hear.
  const listeners = createListeners<[topic: string]>(async (listener) => !listener());

  const lane = (topic: string): Lane => lanes.get(topic) ?? [];
  const all = (): Slot[] => [...lanes.values()].flat();
  const set = (topic: string, slots: Lane): void => {
    if (slots.length > 0) lanes.set(topic, slots);
    else lanes.delete(topic);
    views.delete(topic);
    changed.add(topic);
    troubled = undefined;
  };
  const replace = (slot: Slot, entry: Entry): void => {
    slot.entry = entry;
    set(entry.topic, lane(entry.topic));
  };
  const seqOf = ({ entry }: Slot): number => entry.seq || Infinity;
  return {
    insert(entries, asks, own) {
      const request: Request = {
        slots: [],
        asks,
        own,
        plain: entries.length === 1,
        tries: entries.every((e) => e.state === "queued") ? 0 : 1,
        failures: 0,
        due: 0,
        until: Infinity,
        otherwise: ["done"],
        stored: Promise.resolve(),
      };
      for (const entry of entries) {
        const slot = { entry, request, told: !waits.includes(entry.state) }; // what has ended already an earlier page has told
        request.slots.push(slot);
        set(entry.topic, [...lane(entry.topic), slot].sort((a, b) => seqOf(a) - seqOf(b)));
      }
      return request;
    },
    replace,
    change: (slots, to) => slots.forEach((s) => replace(s, { ...s.entry, ...to })),
    remove: (slot) => set(slot.entry.topic, lane(slot.entry.topic).filter((s) => s !== slot)),
    find: (id, seq) => all().find(({ entry }) => entry.id === id || (seq && entry.seq === seq)),
    lane,
    all,
    pending(topic) {
      let view = views.get(topic);
      if (!view) {
        view = lane(topic).map((s) => s.entry).filter((e) => painted.includes(e.state));
        if (view.length === 0) view = none;
        views.set(topic, view);
      }
      return view;
    },
    topics: () => [...lanes.keys()],
    troubled: () =>
      (troubled ??= all()
        .map((s) => s.entry)
        .filter((e) => troubles.includes(e.state))
        .sort((a, b) => a.seq - b.seq)),
    subscribe: listeners.add,
    tell() {
      const topics = [...changed];
      changed.clear();
      for (const topic of topics) listeners.call(topic);
    },
  };
}

/** How a mutation has ended. */
export const settlementOf = ({ id, topic, state, version, problem }: Entry): Settlement =>
  version !== undefined
    ? { id, topic, status: "committed", version }
    : problem
      ? { id, topic, status: state === "parked" ? state : "refused", problem }
      : { id, topic, status: "cancelled" };

/** What was asked for, without its limit of time. */
export function draftOf({ seq, state, version, sentAt, problem, group, ttl, at, id, device, ...draft }: Entry): Draft {
  return draft;
}

/** What is sent for an entry. */
export function wireOf(entry: Entry): Mutation {
  const { id, device, seq } = entry;
  return { ...draftOf(entry), id, ...(device !== undefined && { device, seq }) };
}
