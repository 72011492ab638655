// The outbox: mutations that are on their way. It owns what was asked and what became of it; what the entities are is the
// store's (src/store). Rules R1–R12 and laws I1–I11, which comments name, are those of test/store/laws.test.ts.
import { type Draft, type Options, type Outbox, OutboxFull, type Pending, type Settlement } from "./api.ts";
import { coalesced, content, united } from "./coalesce.ts";
import { type Conflict, type Decision, rebased } from "./conflict.ts";
import { cancelled, failed, once } from "./ends.ts";
import { type Ask, asked, draftOf, lanesOf, type Request, type Slot, waiting } from "./lane.ts";
import { sending } from "./send.ts";
import type { Entry } from "./storage.ts";
import { sharing } from "./tabs.ts";
import type { Op, Problem, Result } from "./wire.ts";

/** Mutations that may wait at a time; one more is an OutboxFull. */
export const maxWaiting = 1000;
/** Refusals that are kept for a screen that comes later; older ones were reported when they happened. */
const maxRefusals = 100;
/** Commits of one entity that are remembered. */
const maxCommits = 20;

/** Opens the outbox over storage. It sends nothing before start. */
export function createOutbox(options: Options): Outbox {
  const { storage, clock, now = Date.now } = options;
  const lanes = lanesOf();
  const listeners = new Set<(topic: string) => void>();
  const heads = new Map<string, number>();
  const commits = new Map<string, readonly { readonly version: number; readonly op: Op }[]>(); // the last of this page, for what other tabs ask for behind them
  const report = once((settlement) => options.settled?.(settlement));
  let running = false;
  let closed = false;
  let device = options.device;

  const tell = (topic: string): void => {
    lanes.touch(topic);
    for (const listener of [...listeners]) listener(topic);
  };
  const changed = (r: Request): void => r.slots.forEach((s) => tell(s.entry.topic));
  const change = (slot: Slot, to: Partial<Entry>): void => {
    slot.entry = { ...slot.entry, ...to };
    lanes.touch(slot.entry.topic);
  };
  // A failed write of what can be found out again (a commit, a removal) is none: the next load asks the hub.
  const write = async ({ slots }: Request): Promise<void> => {
    const entries = slots.filter((s) => s.entry.seq && lanes.has(s)).map((s) => s.entry);
    if (tabs.leads() && entries.length > 0) await storage.put(entries).then(tabs.look, () => {});
  };
  const remove = async (slot: Slot): Promise<void> => {
    lanes.remove(slot);
    tabs.forget(slot);
    if (!tabs.boss()) return;
    if (slot.entry.seq) await storage.remove(slot.entry.seq).then(tabs.look, () => {});
    else await slot.request.stored; // which removes it then
  };

  const undecided = (r: Request): Slot[] => r.slots.filter((s) => waiting(s) && lanes.has(s));

  /** Tells what became of it once that is written: a reload before would come to the same only where the hub decides alone. */
  const settleAfter = (written: Promise<unknown>, slots: readonly Slot[], how: (slot: Slot) => Settlement): void => {
    void written.then(() => closed || slots.forEach((s) => settle(s, how(s))));
  };
  const settle = (slot: Slot, settlement: Settlement): void => {
    const r = slot.request;
    if (slot.end) return;
    slot.end = settlement;
    if (r.own || tabs.boss()) report(settlement);
    tabs.settled(slot, settlement);
    if (!r.slots.every((s) => s.end)) return;
    calm(r);
    clock.clear(r.expiry);
    const ends = r.slots.map((s) => s.end as Settlement);
    const told = ends.find((e) => "problem" in e && e.problem.code !== "dependency") ?? (ends[0] as Settlement);
    for (const ask of r.asks) ask.settle(told);
  };

  /** What waits behind a commit was asked for by somebody who saw it painted: nobody came between it and their base. */
  const raise = (next: Slot, version: number, op: Op): void => {
    const { guard, base = 0, state } = next.entry;
    if (guard === "none" || base >= version || (state !== "queued" && state !== "held")) return;
    // (A put and a delete leave nothing of what others did, so that whoever asked for more knows all there is.)
    if (base < version - 1 && op === "patch") return;
    change(next, { base: version });
    void write(next.request);
  };

  const committed = (slot: Slot, version: number): void => {
    const { topic, op, id } = slot.entry;
    const lane = lanes.lane(topic);
    for (const next of lane.slice(lane.indexOf(slot) + 1)) raise(next, version, op);
    commits.set(topic, [...(commits.get(topic) ?? []), { version, op }].slice(-maxCommits));
    change(slot, { state: "committed", version });
    if ((heads.get(topic) ?? -1) >= version) void remove(slot);
    else void write(slot.request);
    settle(slot, { id, topic, status: "committed", version });
    tell(topic);
  };

  /** It is not to be: refused, or parked. Of an atomic request one was at fault. */
  const end = (r: Request, status: "refused" | "parked", problem: Problem, fault?: Slot): void => {
    const open = undecided(r);
    for (const s of open) {
      const own = !fault || s === fault;
      change(s, { state: status, problem: own ? problem : { code: "dependency", detail: `${fault.entry.topic}: ${problem.code}` } });
    }
    settleAfter(write(r), open, failed(status));
    const refusals = lanes.slots().filter((s) => s.entry.state === "refused");
    for (const old of refusals.slice(0, -maxRefusals)) void remove(old);
    changed(r);
  };

  const taken = (r: Request): void => {
    const open = undecided(r);
    settleAfter(Promise.all(open.map(remove)), open, cancelled);
    changed(r);
  };

  const decide = (slot: Slot, problem: Problem): void => {
    const conflict: Conflict = { mutation: slot.entry, problem };
    follow(slot, options.conflict?.(conflict) ?? "theirs", problem);
  };
  const follow = (slot: Slot, decision: Decision, problem: Problem): void => {
    const r = slot.request;
    if (decision === "theirs") return end(r, "refused", problem, slot);
    // The others of an atomic request are undecided, and their ids free.
    for (const s of r.slots) if (s !== slot) change(s, { state: "queued" });
    if (decision === "ask") change(slot, { state: "held", problem });
    else slot.entry = rebased(slot.entry, options.newId(), decision, problem);
    r.uncertain = r.taking = r.fresh = false;
    r.failures = 0;
    void write(r);
    changed(r);
  };

  /** Takes the hub's word on a mutation, by whichever way it came: the first one counts (I9). */
  const verdict = (result: Result): void => {
    const slot = lanes.find(result.id);
    // After close the entry is another outbox's, which asks the hub itself.
    if (closed || !slot || (!asked(slot) && slot.entry.state !== "queued")) return;
    const { request: r } = slot;
    const { status, problem = { code: "internal", detail: "the hub gave no reason" } } = result;
    if (status === "committed") return committed(slot, result.version as number);
    if (status === "unknown" || !tabs.leads()) return; // who sends decides
    if (status === "cancelled" || problem.code === "cancelled") {
      return r.why ? end(r, r.why.park ? "parked" : "refused", r.why.problem) : taken(r);
    }
    return problem.code === "version-conflict" && !r.taking ? decide(slot, problem) : end(r, "refused", problem, slot);
  };

  const takeBack = (r: Request, why?: Request["why"]): void => {
    for (const s of r.slots) if (s.entry.state === "sent") change(s, { state: "cancelling" });
    r.why = why;
    r.taking = true;
    calm(r);
    void write(r);
    changed(r);
    drain();
  };

  /** Drops what the base of topic holds (R6). */
  const arrived = (topic: string): boolean => {
    const head = heads.get(topic) ?? -1;
    const done = lanes.lane(topic).filter((s) => s.entry.state === "committed" && (s.entry.version as number) <= head);
    for (const slot of done) void remove(slot);
    return done.length > 0;
  };

  /** Knows what of a request that was stored may have reached the hub. */
  const doubt = (r: Request): void => {
    r.uncertain ||= r.slots.some((s) => s.entry.state !== "queued");
    r.taking ||= r.slots.some((s) => s.entry.state === "cancelling");
    age(r);
  };

  /** Parks what is too old to be sent, when it is. */
  const age = (r: Request): void => {
    const due = Math.min(...r.slots.map(({ entry: { at = Infinity, ttl = Infinity } }) => at + ttl));
    clock.clear(r.expiry);
    if (due === Infinity || closed || undecided(r).length === 0) return;
    if (due > now()) return void (r.expiry = clock.set(() => age(r), due - now()));
    const problem = { code: "expired", detail: "not sent in time" };
    if (!tabs.leads()) return; // who sends knows it too
    if (r.slots.some(asked)) takeBack(r, { problem, park: true });
    else end(r, "parked", problem);
  };

  /** Takes what was asked for out of a mutation that became one of several. */
  const takeOut = (r: Request, ask: Ask, settlement: (slot: Slot) => Settlement): void => {
    const [slot] = r.slots as [Slot];
    r.asks = r.asks.filter((other) => other !== ask);
    change(slot, content(r.asks.map((other) => other.draft).reduce((a, b) => united(a, b) ?? b)));
    void write(r);
    ask.settle(settlement(slot));
    changed(r);
  };
  const withdraw = (r: Request, ask?: Ask): void => {
    const open = undecided(r);
    if (closed || open.length === 0 || open.some((s) => s.entry.state === "cancelling")) return;
    if (open.some(asked)) return takeBack(r);
    if (!ask || !r.fresh || r.asks.length < 2) taken(r);
    else takeOut(r, ask, cancelled);
    drain();
  };

  const dismiss = (r: Request): void => {
    if (!r.slots.every((s) => s.entry.state === "parked" || s.entry.state === "refused")) return;
    for (const s of r.slots) void remove(s);
    changed(r);
  };

  const tabs = sharing(options, lanes, {
    closed: () => closed,
    restored(r) {
      doubt(r);
      for (const slot of r.slots) {
        const { topic } = slot.entry;
        for (const { version, op } of commits.get(topic) ?? []) raise(slot, version, op);
        arrived(topic); // a snapshot may have been quicker
        tell(topic);
      }
    },
    update(slot, entry) {
      const { version, topic, state } = entry;
      const { base = 0 } = slot.entry;
      slot.entry = entry.id === slot.entry.id && state === "queued" && (entry.base ?? base) < base ? { ...entry, base } : entry;
      if (state === "committed") committed(slot, version as number);
      else if (state === "refused" || state === "parked") settle(slot, failed(state)(slot));
      tell(topic);
    },
    ended(slot, { status, version, problem }) {
      if (status === "committed") return committed(slot, version as number);
      void remove(slot);
      settle(slot, status === "refused" ? failed(status, problem)(slot) : cancelled(slot));
      tell(slot.entry.topic);
    },
    async leads() {
      for (const slot of lanes.slots()) {
        doubt(slot.request);
        if (slot.end) report(slot.end); // who led before may not have come to it
      }
      device ??= await storage.device().catch(() => undefined);
    },
    inquire: (ids) => inquire(ids),
    drain: () => drain(),
    wish(wish, slot, detail) {
      if (wish === "cancel") withdraw(slot.request);
      else if (wish === "dismiss") dismiss(slot.request);
      else if (slot.entry.state === "held") follow(slot, detail as Decision, slot.entry.problem as Problem);
      drain();
    },
  });
  const { drain, calm, inquire, signIn } = sending(options, lanes, {
    open: () => running && !closed && tabs.open(),
    now,
    device: () => device,
    change,
    changed,
    verdict,
    takeBack,
    park: (r, problem) => end(r, "parked", problem),
  });

  /** The mutation at the end of a lane, if the next one can become one with it. */
  const joined = (draft: Draft): { slot: Slot; both: Draft } | undefined => {
    const slot = lanes.lane(draft.topic).at(-1);
    const r = slot?.request;
    if (!slot || !r?.fresh || !tabs.leads() || r.slots.length > 1 || slot.entry.state !== "queued") return undefined;
    const both = coalesced(slot.entry, draft);
    return both && { slot, both };
  };

  const add = (...drafts: Draft[]): Pending => {
    const [draft] = drafts as [Draft];
    const join = drafts.length === 1 ? joined(draft) : undefined;
    if (!join && lanes.slots().filter((s) => waiting(s) || s.entry.state === "parked").length + drafts.length > maxWaiting) {
      throw new OutboxFull(`mutation of ${draft.topic}: ${maxWaiting} mutations wait already`);
    }
    let settleIt: (s: Settlement) => void = () => {};
    const settled = new Promise<Settlement>((resolve) => (settleIt = resolve));
    const ask: Ask = { draft, settle: settleIt };
    const group = drafts.length > 1 && { group: options.newId() };
    const fresh = (d: Draft): Entry => ({ ...d, id: options.newId(), seq: 0, state: "queued", ...group, ...(d.ttl !== undefined && { at: now() }) });
    const r = join?.slot.request ?? lanes.insert(drafts.map(fresh), true, []);
    const [slot] = r.slots as [Slot];
    const { id } = slot.entry;
    r.asks.push(ask);
    if (join) change(slot, content(join.both));
    const unstored = (error: unknown): ((s: Slot) => Settlement) => failed("refused", { code: "not-stored", detail: String(error) });
    const keep = async (): Promise<boolean> => {
      try {
        await tabs.stored; // a storage that cannot be read is none to write to
        if (!lanes.has(slot)) return true; // taken back meanwhile
        const asked = r.slots.map((s) => s.entry);
        const seqs = await storage.add(asked);
        await tabs.added(seqs);
        const same = r.slots.every((s, i) => s.entry === asked[i]);
        r.slots.forEach((s, i) => change(s, { seq: seqs[i] as number }));
        // Before anything behind it is sent: or it would come back after a reload, out of order.
        await Promise.all(r.slots.filter((s) => !lanes.has(s)).map(remove));
        if (!same) void write(r);
        tabs.look();
        return true;
      } catch (error) {
        if (!lanes.has(slot)) return true;
        r.slots.forEach(lanes.remove);
        r.slots.forEach((s) => settle(s, unstored(error)(s)));
        changed(r);
        return false;
      }
    };
    const keepToo = async (): Promise<boolean> => {
      if (!(await r.stored)) return false;
      try {
        if (r.asks.includes(ask) && lanes.has(slot)) await storage.put([slot.entry]);
      } catch (error) {
        if (slot.entry.state !== "queued" || !r.asks.includes(ask)) return true;
        takeOut(r, ask, unstored(error));
        return false;
      }
      return true;
    };
    const accepted = join ? keepToo() : (r.stored = keep());
    age(r);
    void accepted.then(drain);
    changed(r);
    const cancel = (): Promise<Settlement> => {
      tabs.rule("cancel", slot, undefined, () => withdraw(r, ask));
      return settled;
    };
    return { id, ids: r.slots.map((s) => s.entry.id), accepted, settled, cancel };
  };

  return {
    ready: tabs.ready,
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
      if (mutation !== undefined) verdict({ id: mutation, status: "committed", version });
      if (arrived(topic)) tell(topic);
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
      commits.clear();
      for (const slot of lanes.slots().filter((s) => s.entry.state === "committed")) {
        void remove(slot);
        tell(slot.entry.topic);
      }
    },
    resolve(id, decision) {
      const slot = lanes.find(id);
      if (slot) tabs.rule("resolve", slot, decision);
    },
    retry(id) {
      const slot = lanes.find(id);
      if (slot?.entry.state !== "parked") return undefined;
      const drafts = slot.request.slots.map((s) => draftOf(s.entry));
      tabs.rule("dismiss", slot);
      return add(...drafts);
    },
    dismiss(id) {
      const slot = lanes.find(id);
      if (slot) tabs.rule("dismiss", slot);
    },
    start: () => ((running = true), signIn(), drain()),
    stop: () => void (running = false),
    wake() {
      signIn();
      lanes.slots().forEach((s) => calm(s.request));
      void tabs.sync();
      drain();
    },
    close() {
      closed = true;
      tabs.close();
      for (const { request } of lanes.slots()) {
        calm(request);
        clock.clear(request.expiry);
      }
      listeners.clear();
    },
  };
}
