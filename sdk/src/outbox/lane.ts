import type { Timer } from "../core/clock.ts";
import type { Entry, State } from "./storage.ts";
import type { Settlement } from "./api.ts";
import type { Mutation, Problem } from "./wire.ts";

/** An entry and what only this page knows of it. */
export interface Slot {
  entry: Entry;
  /** The call about it that is under way; one to cancel does not wait for the others. */
  busy?: { readonly cancelling: boolean } | undefined;
  /** Some earlier call about it may have reached the hub. */
  uncertain: boolean;
  /** It was asked to be taken back: a conflict then needs no decision. */
  taking: boolean;
  /** Calls, and those among them that were answered without a decision. */
  tries: number;
  failures: number;
  /** Until the next call. */
  timer?: Timer;
  /** What it is once it can never commit; nothing when its author took it back. */
  why?: { readonly problem: Problem; readonly park: boolean } | undefined;
  /** Until it is stored. */
  adding?: Promise<unknown>;
  settle?: (settlement: Settlement) => void;
}

/** The mutations of one entity in order. */
export type Lane = Slot[];

const painted: readonly State[] = ["queued", "sent", "cancelling", "committed", "held"];
const waits: readonly State[] = ["queued", "sent", "cancelling", "held", "parked"];
const none: readonly Entry[] = Object.freeze([]);

/** All lanes of an outbox. */
export interface Lanes {
  add(entry: Entry, settle: (settlement: Settlement) => void): Slot;
  /** Takes back in what was stored. */
  restore(entry: Entry): void;
  remove(slot: Slot): void;
  has(slot: Slot): boolean;
  find(id: string): Slot | undefined;
  behind(slot: Slot): Slot[];
  each(): Lane[];
  slots(): Slot[];
  all(state: State): Slot[];
  committed(topic: string): Slot[];
  waiting(): number;
  pending(topic: string): readonly Entry[];
  topics(): string[];
  troubled(): readonly Entry[];
  /** What is pending for topic may have changed. */
  touch(topic: string): void;
}

/** Returns lanes without any mutation. */
export function lanesOf(): Lanes {
  const lanes = new Map<string, Lane>();
  const views = new Map<string, readonly Entry[]>();
  let troubled: readonly Entry[] | undefined;

  const touch = (topic: string): void => {
    views.delete(topic);
    troubled = undefined;
  };
  const insert = (entry: Entry, at: (lane: Lane) => number): Slot => {
    const slot: Slot = { entry, uncertain: false, taking: false, tries: 0, failures: 0 };
    const lane = lanes.get(entry.topic) ?? [];
    lanes.set(entry.topic, lane);
    lane.splice(at(lane), 0, slot);
    touch(entry.topic);
    return slot;
  };
  const slots = (): Slot[] => [...lanes.values()].flat();
  return {
    add(entry, settle) {
      const slot = insert(entry, (lane) => lane.length);
      slot.settle = settle;
      return slot;
    },
    restore(entry) {
      // Before what this page has added already, which has no seq yet.
      const slot = insert(entry, (lane) => lane.filter((s) => s.entry.seq).length);
      slot.uncertain = slot.entry.state !== "queued";
      slot.taking = slot.entry.state === "cancelling";
    },
    remove(slot) {
      const lane = lanes.get(slot.entry.topic);
      if (!lane?.includes(slot)) return;
      lane.splice(lane.indexOf(slot), 1);
      touch(slot.entry.topic);
      if (lane.length === 0) lanes.delete(slot.entry.topic);
    },
    has: (slot) => lanes.get(slot.entry.topic)?.includes(slot) ?? false,
    find: (id) => slots().find((s) => s.entry.id === id),
    behind(slot) {
      const lane = lanes.get(slot.entry.topic) ?? [];
      return lane.slice(lane.indexOf(slot) + 1);
    },
    each: () => [...lanes.values()],
    slots,
    all: (state) => slots().filter((s) => s.entry.state === state),
    committed: (topic) => (lanes.get(topic) ?? []).filter((s) => s.entry.state === "committed"),
    waiting: () => slots().filter((s) => waits.includes(s.entry.state)).length,
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
        .filter((e) => e.state === "refused" || e.state === "held" || e.state === "parked")
        .sort((a, b) => a.seq - b.seq);
      return troubled;
    },
    touch,
  };
}

/** What is sent for an entry. */
export function wireOf(entry: Entry, device: string | undefined): Mutation {
  const { seq, state, version, sentAt, problem, ...mutation } = entry;
  return device === undefined ? mutation : { ...mutation, device, seq };
}
