// The outbox: mutations that are on their way. It owns what was asked and what became of it; what the entities are is the
// store's (src/store). Rules R1–R12 and laws I1–I12, which comments name, are those of test/store/laws.test.ts.
import { createAlarm } from "../core/clock.ts";
import { type Draft, type Options, type Outbox, OutboxFull, type Pending, type Settlement } from "./api.ts";
import { coalesced, content, united } from "./coalesce.ts";
import { rebased } from "./conflict.ts";
import { type Ask, asked, cancelling, draftOf, type End, lanesOf, type Request, settlementOf, type Slot, waiting } from "./lane.ts";
import { expired, sending } from "./send.ts";
import type { Entry } from "./storage.ts";
import { sharing, type Wish } from "./tabs.ts";
import type { Problem, Result } from "./wire.ts";

/** Mutations that may wait at a time; one more is an OutboxFull. */
export const maxWaiting = 1000;
/** Refusals that are kept for a screen that comes later; older ones were reported when they happened. */
const maxRefusals = 100;
/** What is done is kept for so long, for tabs that have not looked; and so often a leader looks for what a tab added that was closed before it could say so. */
const lookEvery = 15_000;

/** Opens the outbox over storage. It sends nothing before start. */
export function createOutbox(options: Options): Outbox {
  const { storage, clock, now = Date.now } = options;
  const lanes = lanesOf();
  const heads = new Map<string, number>();
  const alarm = createAlarm(clock);
  let running: boolean | undefined = false; // undefined: a token was refused, and there is no other one yet
  let closed = false;

  const tell = (): unknown => closed || lanes.tell();

  /** Tells of a request that has changed: who listens, the storage, and then, if it has ended, who asked for it. */
  const save = async (r: Request): Promise<void> => {
    tell();
    const entries = r.slots.map((s) => s.entry).filter((e) => e.seq);
    // (A failed write of what can be found out again is none: the next load asks the hub.)
    if (entries.length === 0) await r.stored.catch(() => {}); // who stores it writes this then
    else if (tabs.leads()) await storage.put(entries).then(tabs.look, () => {});
    r.slots.forEach(settle);
  };

  /** Tells who asked how a mutation has ended, once. */
  const settle = (slot: Slot): void => {
    const r = slot.request;
    // After close the entry is another outbox's, which asks the hub itself.
    if (closed || waiting(slot)) return;
    if (!slot.told && (r.own || tabs.leads())) {
      slot.told = true;
      options.settled?.(settlementOf(slot.entry));
    }
    if (r.slots.some(waiting)) return;
    r.until = Math.min(r.until, clock.now() + lookEvery);
    const fault = r.slots.find(({ entry: { problem } }) => problem && problem.code !== "dependency");
    for (const ask of r.asks) ask.settle(settlementOf((fault ?? (r.slots[0] as Slot)).entry));
  };

  /** What waits behind a commit was asked for by somebody who saw it painted: nobody came between it and their base. */
  const raise = (topic: string): void => {
    const commits: Entry[] = [];
    for (const slot of lanes.lane(topic)) {
      const { guard, base = 0, state, version } = slot.entry;
      if (version !== undefined) commits.push(slot.entry);
      if (guard === "none" || (state !== "queued" && state !== "held")) continue;
      // (A put and a delete leave nothing of what others did, so that whoever asked for more knows all there is.)
      const known = commits.reduce((k, { op, version: v = 0 }) => (v === k + 1 || (v > k && op !== "patch") ? v : k), base);
      if (known === base) continue;
      lanes.change([slot], { base: known });
      void save(slot.request);
    }
  };

  const committed = (slot: Slot, version: number): void => {
    const { topic } = slot.entry;
    lanes.change([slot], { state: "committed", version });
    raise(topic);
    settle(slot);
    arrived(topic);
    void save(slot.request);
  };

  /** Drops what the base of topic holds (R6). */
  const arrived = (topic: string): void => {
    const head = heads.get(topic) ?? -1;
    const there = lanes.lane(topic).filter(({ entry }) => entry.state === "committed" && (entry.version as number) <= head);
    lanes.change(there, { state: "done" });
  };

  /** It is not to be. Of an atomic request one may have been at fault. */
  const end = (r: Request, state: End, problem?: Problem, fault?: Slot): void => {
    for (const slot of r.slots.filter(waiting)) {
      const own = !fault || !problem || slot === fault;
      lanes.change([slot], { state, problem: own ? problem : { code: "dependency", detail: `${fault.entry.topic}: ${problem.code}` } });
    }
    // What ends by this side's word is told once it is written: a reload before would not come to the same.
    void save(r);
    const refusals = lanes.all().filter((s) => s.entry.state === "refused");
    for (const slot of refusals.slice(0, -maxRefusals)) dismiss(slot.request);
  };

  /** Makes an end of it: at once when the hub has not seen it, else once the hub makes sure that it never commits. */
  const abandon = (r: Request, state: End, problem?: Problem): void => {
    const open = r.slots.filter(waiting);
    if (open.length === 0 || open.some(cancelling)) return;
    if (!open.some(asked)) return end(r, state, problem);
    lanes.change(open, { state: "cancelling" });
    r.otherwise = [state, problem];
    r.due = 0;
    void save(r);
  };

  /** Takes what was asked for out of a mutation that became one of several; of what was sent, or is of one, all. */
  const takeOut = (r: Request, ask: Ask, problem?: Problem): void => {
    const [slot] = r.slots as [Slot];
    if (!r.asks.includes(ask)) return;
    const asks = r.asks.filter((other) => other !== ask);
    const [first, ...others] = asks.map((other) => other.draft);
    const left = others.reduce((draft, next) => draft && united(draft, next), first);
    if (!left || !r.plain || slot.entry.state !== "queued") return abandon(r, "done", problem);
    r.asks = asks;
    lanes.change([slot], content(left));
    ask.settle(settlementOf({ ...slot.entry, problem }));
    void save(r);
  };

  const dismiss = (r: Request): void => {
    if (!r.slots.every((s) => s.entry.state === "parked" || s.entry.state === "refused")) return;
    lanes.change(r.slots, { state: "done" });
    void save(r);
  };

  const decide = (slot: Slot, problem: Problem, decision = options.conflict?.({ mutation: slot.entry, problem }) ?? "theirs"): void => {
    const r = slot.request;
    if (decision === "theirs") return end(r, "refused", problem, slot);
    // The others of an atomic request are undecided, and their ids free.
    lanes.change(r.slots.filter((other) => other !== slot), { state: "queued" });
    if (decision === "ask") lanes.change([slot], { state: "held", problem });
    else lanes.replace(slot, rebased(slot.entry, options.newId(), decision, problem));
    r.plain = false;
    r.tries = r.failures = 0;
    void save(r);
  };

  /** Takes the hub's word on a mutation, by whichever way it came: the first one counts (I9). */
  const verdict = ({ id, status, version, problem = { code: "internal" } }: Result): void => {
    const slot = lanes.find(id);
    if (!slot || !waiting(slot) || slot.entry.state === "held") return;
    const r = slot.request;
    if (status === "committed") return committed(slot, version as number);
    if (!r.gone && (status === "unknown" || !tabs.leads())) return; // who sends decides
    const { code } = problem;
    if (status !== "refused" || code === "cancelled") return end(r, ...r.otherwise);
    if (!cancelling(slot)) {
      if (code === "version-conflict") return decide(slot, problem);
      // A refusal of a repetition need not be the hub's word on the first, unless only who looked its id up can give it: grants and
      // limits come before what it remembers.
      if (r.tries > 1 && code !== "schema-violation" && code !== "not-found") return abandon(r, "refused", problem);
    }
    end(r, "refused", problem, slot);
    r.slots.forEach(settle); // the hub would say so again
  };

  const act = (wish: Wish, slot: Slot, ask?: Ask): void => {
    const r = slot.request;
    const { state, problem } = slot.entry;
    if (wish === "dismiss") dismiss(r);
    else if (wish !== "cancel") state === "held" && decide(slot, problem as Problem, wish);
    else if (ask) takeOut(r, ask);
    else abandon(r, "done");
    drain();
  };
  const wish = (word: Wish, id: string): void => {
    const slot = lanes.find(id);
    if (slot) tabs.rule(word, slot);
  };

  /** Tells who listens, does what is due, and sees to it that the rest is when it will be. */
  const drain = (): void => {
    tell();
    if (!tabs.leads()) return;
    const all = lanes.all();
    let wait = lookEvery;
    for (const slot of all) {
      const { request: r, entry } = slot;
      const { at = 0, ttl = Infinity } = entry;
      const left = at + ttl - now();
      if (waiting(slot) && left <= 0) abandon(r, "parked", expired);
      if (clock.now() >= r.until && entry.state === "done") {
        storage.remove(entry.seq).then(() => lanes.remove(slot), () => {});
      }
      wait = Math.min(wait, ...[left, r.due - clock.now()].filter((ms) => ms > 0));
    }
    if (running) lanes.topics().forEach(start);
    alarm(all.length > 0 || options.leadership ? tick : undefined, wait);
  };
  const tick = (): void => {
    drain();
    void tabs.sync();
  };

  /** Takes over what the storage has: what earlier pages and other tabs have asked for, and of who leads all. */
  const loaded = (all: readonly Entry[]): void => {
    // A write that was made again after its connection was lost may be there twice; its page went on with the last.
    const newest = new Map(all.map((e) => [e.id, e.seq]));
    const fresh: Entry[] = [];
    for (const e of all) {
      const slot = lanes.find(e.id, e.seq);
      if (newest.get(e.id) !== e.seq) tabs.leads() && storage.remove(e.seq).catch(() => {});
      else if (!slot) fresh.push(e);
      else if (!slot.entry.seq) lanes.change([slot], { seq: e.seq });
      // (What was committed this tab may know before the leader.)
      else if (!tabs.leads() && slot.entry.version === undefined && JSON.stringify(e) !== JSON.stringify(slot.entry)) {
        lanes.replace(slot, e);
        if (e.version === undefined) void save(slot.request);
        else committed(slot, e.version);
      }
    }
    for (const e of fresh) {
      const entries = fresh.filter((other) => other === e || (e.group && e.group === other.group));
      if (!lanes.find(e.id)) lanes.insert(entries, [{ draft: e, settle: () => {} }], false).slots.forEach(settle);
    }
    for (const topic of new Set(fresh.map((e) => e.topic))) {
      raise(topic);
      arrived(topic); // a snapshot may have been quicker
    }
    if (tabs.leads()) return;
    const there = new Set(all.map((e) => e.seq));
    const lost: string[] = [];
    for (const slot of lanes.all()) {
      const { seq, state, id } = slot.entry;
      if (!seq || there.has(seq)) continue;
      if (waiting(slot)) {
        // Who led was closed before it could say why. It must never be sent; the hub may know it.
        slot.request.gone = true;
        lanes.change([slot], { state: "cancelling" });
        lost.push(id);
      } else if (state !== "committed") lanes.remove(slot);
    }
    void inquire(lost);
  };

  const tabs = sharing(options, lanes, {
    loaded,
    async lead() {
      for (const slot of lanes.all()) {
        if (slot.entry.state !== "queued") slot.request.tries ||= 1;
        settle(slot); // who led before may not have come to it
      }
      lanes.topics().forEach(raise);
      // Without an answer it goes on: whatever the hub may have got is repeated under its id.
      const answer = inquire(lanes.all().filter(asked).map((s) => s.entry.id));
      drain();
      await answer;
    },
    drain,
    act,
  });
  const { start, inquire } = sending(options, lanes, {
    open: () => running !== false && tabs.leads(),
    verdict,
    abandon,
    pause: () => void (running &&= undefined),
    drain,
  });

  const add = (...drafts: Draft[]): Pending => {
    const [draft] = drafts as [Draft];
    const last = lanes.lane(draft.topic).at(-1);
    const joins = drafts.length === 1 && last?.request.plain && last.entry.state === "queued" && tabs.leads() && coalesced(last.entry, draft);
    if (!joins && lanes.all().filter((s) => waiting(s) || s.entry.state === "parked").length + drafts.length > maxWaiting) {
      throw new OutboxFull(`mutation of ${draft.topic}: ${maxWaiting} wait already`);
    }
    const ask: Ask = { draft, settle: () => {} };
    const settled = new Promise<Settlement>((resolve) => (ask.settle = resolve));
    const group = drafts.length > 1 ? options.newId() : undefined;
    const fresh = (d: Draft): Entry => ({ ...d, id: options.newId(), seq: 0, state: "queued", at: now(), group });
    const r = joins ? (last as Slot).request : lanes.insert(drafts.map(fresh), [], true);
    const [slot] = r.slots as [Slot];
    const { id } = slot.entry;
    r.asks.push(ask);
    if (joins) lanes.change([slot], content(joins));
    const store = async (): Promise<void> => {
      const asked = r.slots.map((s) => s.entry);
      const seqs = await storage.add(asked);
      // Who leads must know those that others stored before: they are sent before.
      const known = Math.max(0, ...lanes.all().map((s) => s.entry.seq));
      if ((seqs[0] as number) > known + 1) await tabs.sync();
      const same = r.slots.every((s, i) => s.entry === asked[i]);
      r.slots.forEach((s, i) => lanes.change([s], { seq: seqs[i] as number }));
      // Before anything behind it is sent: or it would come back after a reload, out of order.
      if (!same) await save(r);
      tabs.look();
    };
    const stored = joins ? r.stored.then(() => storage.put([slot.entry])) : (r.stored = store());
    const accepted = stored.then(
      () => true,
      (error: unknown) => {
        if (slot.entry.state !== "queued" || !r.asks.includes(ask)) return true;
        takeOut(r, ask, { code: "not-stored", detail: String(error) });
        return false;
      },
    );
    void accepted.then(drain);
    drain(); // for its limit of time, too
    return {
      id,
      ids: r.slots.map((s) => s.entry.id),
      accepted,
      settled,
      cancel() {
        tabs.rule("cancel", slot, ask);
        return settled;
      },
    };
  };

  return {
    ready: tabs.ready,
    add,
    pending: lanes.pending,
    topics: lanes.topics,
    troubled: lanes.troubled,
    subscribe: lanes.subscribe,
    applied(topic, version, mutation) {
      heads.set(topic, version);
      if (mutation !== undefined) verdict({ id: mutation, status: "committed", version });
      arrived(topic);
      drain();
    },
    overtaken(id, problem) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "queued" || !slot.entry.seq || !tabs.leads()) return;
      decide(slot, problem);
      drain();
    },
    receipt(result) {
      verdict(result);
      drain();
    },
    lost() {
      heads.clear();
      for (const slot of lanes.all().filter((s) => s.entry.version !== undefined)) {
        lanes.change([slot], { state: "done", version: undefined });
        void save(slot.request);
      }
    },
    resolve: (id, decision) => wish(decision, id),
    retry(id) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "parked") return undefined;
      const drafts = slot.request.slots.map(({ entry }) => ({ ...draftOf(entry), ttl: entry.ttl }));
      wish("dismiss", id);
      return add(...drafts);
    },
    dismiss: (id) => wish("dismiss", id),
    start() {
      running = true;
      drain();
    },
    stop: () => void (running = false),
    wake() {
      running ??= true;
      for (const { request } of lanes.all()) request.due = 0;
      void tabs.sync();
    },
    close() {
      closed = true;
      alarm();
      tabs.close();
    },
  };
}
