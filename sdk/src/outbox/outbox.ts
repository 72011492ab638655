// The outbox: mutations that are on their way. It owns what was asked and what became of it; what the entities are is the
// store's (src/store). Rules R1–R12 and laws I1–I11, which comments name, are those of test/store/laws.test.ts.
import type { Timer } from "../core/clock.ts";
import { type Draft, type Options, type Outbox, OutboxFull, type Pending, type Settlement } from "./api.ts";
import { type Conflict, type Decision, rebased } from "./conflict.ts";
import { type Lane, type Slot, lanesOf, wireOf } from "./lane.ts";
import type { Entry } from "./storage.ts";
import type { Failure, Problem, Result } from "./wire.ts";

/** Mutations that may wait at a time; one more is an OutboxFull. */
export const maxWaiting = 1000;
/** Entities whose mutations are sent at a time. */
const maxLanes = 4;
/** A call without an answer for this long is made again, under the same id. */
const answerWithin = 10_000;
/** The hub keeps results for 24 h: what was sent longer ago could commit twice if it were sent again. */
const resendWithin = 23 * 3_600_000;
/** Refusals that are kept for a screen that comes later; older ones were reported when they happened. */
const maxRefusals = 100;

/** Opens the outbox over storage. It sends nothing before start. */
export function createOutbox(options: Options): Outbox {
  const { transport, storage, clock } = options;
  const lanes = lanesOf();
  const listeners = new Set<(topic: string) => void>();
  const heads = new Map<string, number>();
  let running = false;
  let signedOut = false; // the token was refused: nothing is sent until start or wake
  let closed = false;
  let opened = false;
  let busy = 0;

  const changed = (topic: string): void => {
    lanes.touch(topic);
    for (const listener of [...listeners]) listener(topic);
  };
  // A failed write of what can be found out again (a commit, a removal) is none: the next load asks the hub.
  const write = async (slot: Slot): Promise<void> => {
    if (slot.entry.seq) await storage.put(slot.entry).catch(() => {});
  };
  const change = (slot: Slot, to: Partial<Entry>): void => {
    slot.entry = { ...slot.entry, ...to };
    lanes.touch(slot.entry.topic);
  };
  const calm = (slot: Slot): void => {
    clock.clear(slot.timer);
    slot.timer = undefined;
  };
  const remove = async (slot: Slot): Promise<void> => {
    lanes.remove(slot);
    await slot.adding;
    if (slot.entry.seq) await storage.remove(slot.entry.seq).catch(() => {});
  };

  /** Tells what became of it once that is written: a reload before would come to the same only where the hub decides alone. */
  const settleAfter = (written: Promise<void>, slot: Slot, settlement: Settlement): void => {
    void written.then(() => closed || settle(slot, settlement));
  };
  const settle = (slot: Slot, settlement: Settlement): void => {
    calm(slot);
    slot.settle?.(settlement);
    delete slot.settle;
    options.settled?.(settlement);
  };

  const committed = (slot: Slot, version: number): void => {
    const { topic, op } = slot.entry;
    // What waits behind it was asked for by somebody who saw this change painted: nobody came between it and their base.
    for (const next of lanes.behind(slot)) {
      const { guard, base, state } = next.entry;
      if (guard === "none" || (state !== "queued" && state !== "held")) continue;
      // (A put and a delete leave nothing of what others did, so that whoever asked for more knows all there is.)
      if (base === version - 1 || op !== "patch") {
        change(next, { base: version });
        void write(next);
      }
    }
    change(slot, { state: "committed", version });
    if ((heads.get(topic) ?? -1) >= version) void remove(slot);
    else void write(slot);
    settle(slot, { id: slot.entry.id, topic, status: "committed", version });
    changed(topic);
  };

  const refused = (slot: Slot, problem: Problem): void => {
    const { id, topic } = slot.entry;
    change(slot, { state: "refused", problem });
    settleAfter(write(slot), slot, { id, topic, status: "refused", problem });
    for (const old of lanes.all("refused").slice(0, -maxRefusals)) void remove(old);
    changed(topic);
  };

  const parked = (slot: Slot, problem: Problem): void => {
    const { id, topic } = slot.entry;
    change(slot, { state: "parked", problem });
    settleAfter(write(slot), slot, { id, topic, status: "parked", problem });
    changed(topic);
  };

  const taken = (slot: Slot): void => {
    const { id, topic } = slot.entry;
    settleAfter(remove(slot), slot, { id, topic, status: "cancelled" });
    changed(topic);
  };

  const decide = (slot: Slot, problem: Problem): void => {
    const conflict: Conflict = { mutation: slot.entry, problem };
    follow(slot, options.conflict?.(conflict) ?? "theirs", problem);
  };

  const follow = (slot: Slot, decision: Decision, problem: Problem): void => {
    if (decision === "theirs") return refused(slot, problem);
    if (decision === "ask") change(slot, { state: "held", problem });
    else slot.entry = rebased(slot.entry, options.newId(), decision, problem);
    slot.uncertain = slot.taking = false;
    slot.failures = 0;
    void write(slot);
    changed(slot.entry.topic);
  };

  /** Takes the hub's word on a mutation, by whichever way it came: the first one counts (I9). */
  const verdict = (slot: Slot, result: Result): void => {
    const { state } = slot.entry;
    // After close the entry is another outbox's, which asks the hub itself.
    if (closed || !lanes.has(slot) || slot.entry.id !== result.id || !["queued", "sent", "cancelling"].includes(state)) return;
    const problem = result.problem ?? { code: "internal", detail: "the hub gave no reason" };
    if (result.status === "committed") return committed(slot, result.version as number);
    if (result.status === "unknown") return;
    if (result.status === "cancelled" || problem.code === "cancelled") {
      return slot.why ? (slot.why.park ? parked : refused)(slot, slot.why.problem) : taken(slot);
    }
    return problem.code === "version-conflict" && !slot.taking ? decide(slot, problem) : refused(slot, problem);
  };

  /** Has the hub make sure that it never commits; why says what it is then. */
  const takeBack = (slot: Slot, why?: Slot["why"]): void => {
    change(slot, { state: "cancelling" });
    slot.why = why;
    slot.taking = true;
    calm(slot);
    void write(slot);
    changed(slot.entry.topic);
    drain();
  };

  const exchange = async (slot: Slot): Promise<void> => {
    const { id } = slot.entry;
    if (slot.entry.state === "cancelling") {
      const result = await transport.cancel(id);
      if (result) return verdict(slot, result);
      // Who may write nothing any more can have nothing committed from now on either.
      const [known] = await transport.status([id]);
      return verdict(slot, known && known.status !== "unknown" ? known : { id, status: "cancelled" });
    }
    const now = options.hubTime?.();
    const { sentAt } = slot.entry;
    if (slot.uncertain && now !== undefined && sentAt !== undefined && now - sentAt > resendWithin) {
      const [known] = await transport.status([id]);
      if (known && known.status !== "unknown") return verdict(slot, known);
      return parked(slot, { code: "expired", detail: "sent so long ago that the hub may have forgotten what became of it" });
    }
    const [result] = await transport.send([wireOf(slot.entry, options.device)]);
    if (!result) throw { failure: "unreachable" } satisfies Failure;
    // A refusal of a repetition need not be the hub's word on the first: grants and limits come before what it remembers.
    if (result.status === "refused" && slot.uncertain && !decidedAnew.has(result.problem?.code ?? "")) {
      if (slot.entry.id === id && slot.entry.state === "sent") {
        takeBack(slot, { problem: result.problem ?? { code: "internal" }, park: false });
      }
      return;
    }
    verdict(slot, result);
  };

  const failed = (slot: Slot, id: string, reason: unknown): void => {
    const { failure = "unreachable", retryAfter = 0 } = (reason ?? {}) as Partial<Failure>;
    if (slot.entry.id !== id) return;
    slot.uncertain = true;
    if (failure === "unauthenticated") return void (signedOut = true);
    if (failure === "busy" && ++slot.failures >= (options.attempts || 20) && slot.entry.state === "sent") {
      const problem = { code: "overloaded", detail: `given up after ${slot.failures} answers without a decision` };
      return takeBack(slot, { problem, park: true });
    }
    const spread = options.random() * Math.min(30_000, 500 * 2 ** Math.min(slot.tries, 10));
    calm(slot);
    slot.timer = clock.set(() => {
      slot.timer = undefined;
      drain();
    }, Math.max(retryAfter, 1000, spread));
  };

  /** What call resolves to; a call that takes too long is unreachable, though its answer counts whenever it comes. */
  const inTime = async <T>(call: Promise<T>): Promise<T> => {
    let late: Timer;
    const timeout = new Promise<never>((_, reject) => {
      late = clock.set(() => reject({ failure: "unreachable" } satisfies Failure), answerWithin);
    });
    call.catch(() => {}); // heard of below, or too late
    try {
      return await Promise.race([call, timeout]);
    } finally {
      clock.clear(late);
    }
  };

  const undecided = (slot: Slot, id: string): boolean => {
    const { state } = slot.entry;
    return slot.entry.id === id && (state === "sent" || state === "cancelling");
  };

  const send = async (slot: Slot): Promise<void> => {
    const { id } = slot.entry;
    if (slot.entry.state === "queued") {
      const sentAt = options.hubTime?.();
      change(slot, sentAt === undefined ? { state: "sent" } : { state: "sent", sentAt });
      changed(slot.entry.topic);
      try {
        await storage.put(slot.entry); // R2: before the network, or a reload would take it for one that the hub never saw
      } catch {
        if (undecided(slot, id)) change(slot, { state: "queued" });
        changed(slot.entry.topic);
        return failed(slot, id, undefined);
      }
    }
    if (closed || !undecided(slot, id)) return;
    slot.tries++;
    try {
      await inTime(exchange(slot));
    } catch (reason) {
      if (undecided(slot, id)) failed(slot, id, reason);
    }
  };

  const start = (lane: Lane): void => {
    const slot = lane.find((s) => ["queued", "sent", "cancelling", "held"].includes(s.entry.state));
    // FIFO per entity (R3, I8): whatever keeps the first keeps the others, but not other lanes.
    if (!slot || slot.timer !== undefined || !slot.entry.seq || slot.entry.state === "held") return;
    const cancelling = slot.entry.state === "cancelling";
    if (slot.busy && (slot.busy.cancelling || !cancelling)) return;
    const call = { cancelling };
    slot.busy = call;
    busy++;
    void send(slot).finally(() => {
      if (slot.busy === call) slot.busy = undefined;
      busy--;
      drain();
    });
  };

  const drain = (): void => {
    for (const lane of lanes.each()) if (opened && running && !signedOut && !closed && busy < maxLanes) start(lane);
  };

  const restore = async (): Promise<string[]> => {
    const all = await storage.load();
    // A write that was made again after its connection was lost may be there twice; this page went on with the last.
    const newest = new Map(all.map((e) => [e.id, e.seq]));
    const entries = all.filter((e) => newest.get(e.id) === e.seq);
    for (const e of all) if (newest.get(e.id) !== e.seq) storage.remove(e.seq).catch(() => {});
    for (const entry of entries) lanes.restore(entry);
    for (const topic of new Set(entries.map((e) => e.topic))) {
      arrived(topic); // a snapshot may have been quicker
      changed(topic);
    }
    return entries.filter((e) => e.state === "sent" || e.state === "cancelling").map((e) => e.id);
  };
  const inquire = async (sent: readonly string[]): Promise<void> => {
    for (let i = 0; i < sent.length; i += maxWaiting) {
      for (const result of await inTime(transport.status(sent.slice(i, i + maxWaiting)))) {
        const slot = lanes.find(result.id);
        if (slot) verdict(slot, result);
      }
    }
  };
  /** Drops what the base of topic holds (R6). */
  const arrived = (topic: string): boolean => {
    const head = heads.get(topic) ?? -1;
    const done = lanes.committed(topic).filter((s) => (s.entry.version as number) <= head);
    for (const slot of done) void remove(slot);
    return done.length > 0;
  };
  const stored = restore();
  // Without an answer it goes on: whatever the hub may have got is repeated under its id.
  const ready = stored
    .then(inquire)
    .catch(() => {})
    .then(() => {
      opened = true;
      drain();
    });

  const add = (draft: Draft): Pending => {
    if (lanes.waiting() >= maxWaiting) {
      throw new OutboxFull(`mutation of ${draft.topic}: ${maxWaiting} mutations wait already`);
    }
    const entry: Entry = { ...draft, id: options.newId(), seq: 0, state: "queued" };
    let settleIt: (s: Settlement) => void = () => {};
    const settled = new Promise<Settlement>((resolve) => (settleIt = resolve));
    const slot = lanes.add(entry, settleIt);
    const keep = async (): Promise<boolean> => {
      await stored; // a storage that cannot be read is none to write to
      const asked = slot.entry;
      if (!lanes.has(slot)) return true; // taken back meanwhile
      change(slot, { seq: await storage.add(asked) });
      if (slot.entry.base !== asked.base) void write(slot);
      return true;
    };
    const kept = keep();
    slot.adding = kept.catch(() => {});
    const accepted = kept.catch((error: unknown) => {
      if (!lanes.has(slot)) return true;
      lanes.remove(slot);
      settle(slot, { id: entry.id, topic: entry.topic, status: "refused", problem: { code: "not-stored", detail: String(error) } });
      changed(entry.topic);
      return false;
    });
    void accepted.then(drain);
    changed(entry.topic);
    const cancel = (): Promise<Settlement> => {
      if (slot.settle && !closed && lanes.has(slot)) {
        const { state } = slot.entry;
        if (state === "sent") takeBack(slot);
        else if (state === "queued" || state === "held") taken(slot);
        drain();
      }
      return settled;
    };
    return { id: entry.id, accepted, settled, cancel };
  };

  return {
    ready,
    add,
    pending: lanes.pending,
    topics: lanes.topics,
    troubled: lanes.troubled,
    subscribe(listener) {
      const own = (topic: string): void => listener(topic); // two subscriptions of one function are two
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    applied(topic, version, mutation) {
      heads.set(topic, version);
      const slot = mutation === undefined ? undefined : lanes.find(mutation);
      if (slot) verdict(slot, { id: slot.entry.id, status: "committed", version });
      if (arrived(topic)) changed(topic);
      drain();
    },
    overtaken(id, problem) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "queued" || !slot.entry.seq) return;
      decide(slot, problem);
      drain();
    },
    receipt(result) {
      const slot = lanes.find(result.id);
      if (slot) verdict(slot, result);
      drain();
    },
    lost() {
      heads.clear();
      for (const slot of lanes.all("committed")) {
        void remove(slot);
        changed(slot.entry.topic);
      }
    },
    resolve(id, decision) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "held") return;
      follow(slot, decision, slot.entry.problem as Problem);
      drain();
    },
    retry(id) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "parked") return undefined;
      const { seq, id: _, state, version, sentAt, problem, ...draft } = slot.entry;
      void remove(slot);
      return add(draft);
    },
    dismiss(id) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "parked" && slot?.entry.state !== "refused") return;
      void remove(slot);
      changed(slot.entry.topic);
    },
    start() {
      running = true;
      signedOut = false;
      drain();
    },
    stop: () => void (running = false),
    wake() {
      signedOut = false;
      lanes.slots().forEach(calm);
      drain();
    },
    close() {
      closed = true;
      lanes.slots().forEach(calm);
      listeners.clear();
    },
  };
}

/** Codes of refusals that only who looked the id up, and found nothing, or found this very refusal, can give. */
const decidedAnew = new Set(["version-conflict", "schema-violation", "not-found", "cancelled"]);
