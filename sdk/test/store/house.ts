import assert from "node:assert";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import type { Conflict, Decision } from "../../src/outbox/conflict.ts";
import type { Pending, Settlement } from "../../src/outbox/api.ts";
import { wireOf } from "../../src/outbox/lane.ts";
import type { Entry } from "../../src/outbox/storage.ts";
import type { Guard, Mutation, Problem, Result, Transport } from "../../src/outbox/wire.ts";
import type { ReceiptMessage } from "../../src/core/messages.ts";
import type { Json, JsonObject } from "../../src/store/json.ts";
import type { Drafts } from "../../src/store/store.ts";
import { Machine, SimClock } from "./machine.ts";
import { Tab } from "./tab.ts";
import { type HubFault, mergePatch, SimHub } from "./simhub.ts";

/** How the SDK is broken, to see that the laws notice. */
export type Fault =
  | HubFault
  | "overlay dropped on 200"
  | "rolled back on timeout"
  | "sent mutation dropped early"
  | "no first toucher"
  | "sent not stored first"
  | "group sent one by one"
  | "two leaders"
  | "cache behind the outbox"
  | "committed kept after a snapshot";

/** One step of a history: what happens, to which device, and what it is about. */
export type Step = readonly [kind: number, device: number, x: number, y: number];

/** Histories of a few devices: what happens, in which order. */
export const steps: fc.Arbitrary<Step> = fc.tuple(fc.nat(21), fc.nat(3), fc.nat(59), fc.nat(1000));

export const topics = ["orders/1", "orders/2"];
const fields = ["a", "b", "c"];

/** A change that somebody asks for. */
export interface Change {
  readonly op: "put" | "patch" | "delete";
  readonly topic: string;
  readonly content: JsonObject;
  readonly how: { readonly guard: Guard };
}

/** The change that a step with these numbers asks for. */
export function change(x: number, y: number): Change {
  const topic = topics[x % 2] as string;
  const how = { guard: y % 7 === 0 ? ("none" as const) : y % 11 === 0 ? ("version" as const) : ("fields" as const) };
  const field = fields[Math.floor(x / 2) % 3] as string;
  const value: Json = y % 13 === 0 ? "bad" : y % 5 === 0 ? null : y % 4 === 0 ? { [`n${y % 2}`]: y % 3 } : y % 3;
  const op = x % 10;
  if (op === 0) return { op: "delete", topic, content: {}, how };
  if (op < 3) return { op: "put", topic, content: { [field]: value, ...(y % 2 === 0 && { c: y % 3 }) }, how };
  return { op: "patch", topic, content: { [field]: value, ...(y % 6 === 0 && { b: 7 }) }, how };
}

const flush = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Call {
  readonly device: Tab;
  readonly life: number;
  readonly run: () => unknown;
  readonly what: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
  reply?: { value: unknown };
}

/** Several tablets, a hub and all that happens between them. */
export class House {
  readonly hub: SimHub;
  readonly clock = new SimClock();
  readonly devices: Tab[];
  ids = 0;
  /** What the author of each id had seen: I5. */
  private readonly seen = new Map<string, number>();
  private readonly authors = new Map<string, object | undefined>();
  private calls: Call[] = [];
  private readonly posted: (readonly Mutation[])[] = [];
  /** The seqs of each atomic request's mutations. */
  private readonly groups = new Map<string, Set<string>>();
  private readonly cancels = new Map<string, () => unknown>();
  private decisions = 0;
  private readonly violations: string[] = [];

  readonly fault: Fault | undefined;
  constructor(fault?: Fault, devices = 3) {
    this.fault = fault;
    this.hub = new SimHub(fault as HubFault);
    // One of the entities is there, one is to be created: patches of nothing say little.
    this.hub.mutate({ id: "before", op: "put", topic: "orders/1", data: { a: 9, b: 9, c: 9 }, guard: "none", device: "nobody", seq: 1 });
    // The first device has two tabs.
    this.devices = Array.from({ length: devices }, (_, i) => {
      const [machine, settled] = [new Machine(), new Map<string, Settlement>()];
      return Array.from({ length: i === 0 ? 2 : 1 }, () => new Tab(`d${i}`, machine, settled, this));
    }).flat();
    for (const d of this.devices) {
      d.start();
      d.snapshot();
      this.clock.advance(1000);
      d.machine.write(1000); // the next page has something to begin with
    }
  }

  transportOf(device: Tab): Transport {
    const { hub } = this;
    const call = <T>(what: string, run: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        this.calls.push({ device, life: device.life, what, run, resolve: resolve as (v: unknown) => void, reject });
        if (this.fault === "rolled back on timeout" && what === "send") {
          this.clock.set(() => (resolve as (v: unknown) => void)([{ id: this.posted.at(-1)?.[0]?.id, status: "cancelled" }]), 9_000);
        }
      });
    return {
      send: (all) => {
        if (this.fault === "group sent one by one") {
          this.posted.push(...all.map((m) => [m]));
          return call("send", () => all.map((m) => hub.mutate(m)));
        }
        this.posted.push(all);
        return call("send", () => hub.mutateAll(all));
      },
      status: (ids) => call("status", () => ids.map((id) => hub.status(id))),
      cancel: (id) => call("cancel", () => hub.cancel(id)),
      fetch: (topic) => call("fetch", () => hub.entity(topic)),
      list: (pattern) => call("list", () => hub.list(pattern)),
    };
  }

  /** I6: whoever is told early is told the truth; and an answer to the app's question. */
  judgeConflict(device: Tab, { mutation, problem }: Conflict): Decision {
    if (mutation.state === "queued") {
      const lane = device.outbox.pending(mutation.topic);
      const ahead = lane.slice(0, lane.findIndex((e) => e.id === mutation.id));
      const wire = (e: Entry): Mutation => wireOf({ ...e, device: device.name });
      if (!this.hub.foresee(ahead.map(wire), wire(mutation), problem.current?.version as number)) {
        this.violations.push(`I6: ${mutation.id} was dropped early, and the hub would not have refused it`);
      }
    }
    // (What was sent with one that was refused is free.)
    const mayCommit = (all: readonly Mutation[]): boolean => all.every((m) => (this.hub.results.get(m.id)?.result.status ?? "committed") === "committed");
    const sent = this.posted.some((all) => all.some((m) => m.id === mutation.id) && mayCommit(all));
    if (sent && !this.hub.results.has(mutation.id)) {
      this.violations.push(`I6: ${mutation.id} was dropped early, though it was sent`);
    }
    // I11: somebody else must have touched what clashes.
    const others = (problem.fields ?? []).every((f) => {
      const last = this.lastToucher(mutation, f, problem.current?.version ?? 0);
      // (What another tab of the device had asked for was not seen in this one, and a tab that leads does not know all that another
      // one had heard of: there a conflict is one too many at worst.)
      const author = this.authors.get(mutation.id);
      return last?.device !== device.name || this.authors.get(last.id) !== author || (device.name === "d0" && author !== device.page);
    });
    if (mutation.guard === "fields" && !others) this.violations.push(`I11: ${mutation.id} clashes with its own device`);
    const decision = (["theirs", "mine", "ask", { merge: { [problem.fields?.[0] ?? "a"]: "merged" } }] as const)[this.decisions++ % 4] as Decision;
    if (typeof decision === "object" || decision === "mine") this.remakes(device, mutation, problem);
    return decision;
  }

  /** The next id is of what is made in the place of a mutation, by an author who has seen what was told. */
  private remakes(device: Tab, mutation: Entry, problem: Problem | undefined): void {
    const id = `${device.name}-${this.ids + 1}`;
    this.seen.set(id, problem?.current?.version ?? 0);
    this.authors.set(id, this.authors.get(mutation.id));
  }

  private lastToucher({ base = 0, topic }: Entry, field: string, upTo: number): Mutation | undefined {
    const all = this.hub.commits.filter((c) => c.mutation.topic === topic && c.version <= upTo && c.version > base);
    return all.findLast((c) => c.mutation.op === "delete" || !isDeepStrictEqual(c.before?.[field], c.after?.[field]))?.mutation;
  }

  /** I9: each mutation ends once, as the hub says. */
  judgeSettlement(device: Tab, s: Settlement): void {
    if (device.heard.has(s.id)) this.violations.push(`I9: ${s.id} ended twice`);
    device.heard.add(s.id);
    const before = device.settled.get(s.id);
    // (Of an atomic request that was taken back one may have been refused before.)
    const both = [before?.status, s.status].sort().join();
    if (before && before.status !== s.status && both !== "cancelled,refused") this.violations.push(`I9: ${s.id} was ${before.status} and is ${s.status}`);
    device.settled.set(s.id, s);
  }

  mutate(device: Tab, x: number, y: number): void {
    const { op, topic, content, how: asked } = change(x, y);
    const how = { ...asked, ...(y % 17 === 0 && { ttl: 20_000 }) };
    const { store, life } = device;
    const say = (draft: Drafts<unknown>, at: string): unknown => (op === "delete" ? draft.delete(at, how) : draft[op](at, content, how));
    const see = (next: number, at: string): void => {
      this.seen.set(`${device.name}-${this.ids + next}`, store.entity(at).get().version);
      // Who has heard nothing yet knows nothing of their own commits either.
      this.authors.set(`${device.name}-${this.ids + next}`, device.streams ? device.page : {});
    };
    let pending: Pending;
    if (y % 9 === 1) {
      topics.forEach((at, i) => see(i + 2, at)); // the first id is the group's
      pending = store.atomic((draft) => topics.forEach((at) => say(draft, at)));
    } else {
      see(1, topic);
      pending = say(store, topic) as Pending;
    }
    const { id, cancel, settled } = pending;
    const key = `${id} ${y} ${this.ids}`;
    device.open.add(key);
    void settled.then(() => device.life === life && device.open.delete(key));
    this.cancels.set(id, () => device.life === life && cancel());
  }

  async step([kind, who, x, y]: Step): Promise<void> {
    const device = this.devices[who % this.devices.length] as Tab;
    const before = this.devices.map((d) => topics.map((t) => d.view(t)));
    let still = ""; // the law by which no view may change now
    const calls = this.calls.filter((c) => (kind === 9 || kind === 10 || kind === 8 ? c.reply : !c.reply));
    const call = calls[x % Math.max(1, calls.length)];
    switch (kind) {
      case 0:
      case 1:
      case 2:
      case 3:
        this.mutate(device, x, y);
        break;
      case 4:
      case 5:
      case 6:
        if (call) call.reply = { value: call.run() };
        still = "I2: a request changed a view";
        break;
      case 7: // lost on the way there
        if (call) this.calls.splice(this.calls.indexOf(call), 1);
        still = "I2: a lost request changed a view";
        break;
      case 8:
      case 9:
        if (call) {
          this.calls.splice(this.calls.indexOf(call), 1);
          const results = call.reply?.value as Result[] | undefined;
          // (What the base holds already, with what others did since, is painted over that until its word comes, which then shows theirs.)
          const held = (r: Result): boolean => call.device.store.entity(this.topicOf(r) as string).get().version >= (r.version as number);
          if (call.what === "send" && results?.[0]?.status === "committed" && !results.some(held)) still = "I2: a 200 changed a view";
          if (call.life === call.device.life) {
            if (this.fault === "overlay dropped on 200" && still) this.dropOverlay(call.device, results?.[0] as Result);
            call.resolve(call.reply?.value);
          }
        }
        break;
      case 10: // lost on the way back
        if (call) this.calls.splice(this.calls.indexOf(call), 1);
        break;
      case 11: // a copy of a request, as late as can be
        if (this.posted.length > 0) this.hub.mutateAll(this.posted[x % this.posted.length] as Mutation[]);
        break;
      case 12:
        if (call) {
          this.calls.splice(this.calls.indexOf(call), 1);
          if (y % 2 === 0) call.run();
          call.reject({ failure: (["busy", "unreachable", "unauthenticated"] as const)[y % 3] });
        }
        still = "I2: a failure changed a view";
        break;
      case 13:
      case 14:
        device.hear(1 + (x % 4), y % 3);
        break;
      case 15:
        device.machine.write(1 + (x % 3));
        still = "I2: a write changed a view";
        break;
      case 16:
        this.clock.advance(1000 * (1 + (x % 15)));
        device.outbox.start();
        if (!this.ages(before)) still = "I2: time changed a view";
        break;
      case 17:
        if (x % 3 === 0) device.crash();
        else if (x % 3 === 1) device.snapshot(() => call && y % 2 === 0 && (call.reply = { value: call.run() }));
        else this.hearReceipt(device);
        break;
      case 20:
      case 21:
        device.machine.hear(device, 1 + (x % 3));
        break;
      case 18:
        this.devices.forEach((d) => d.machine.write(100));
        break;
      case 19: {
        const open = topics.flatMap((t) => device.outbox.pending(t));
        const entry = open[x % Math.max(1, open.length)];
        if (entry?.state === "held") device.outbox.resolve(entry.id, this.answer(device, entry, y));
        else if (entry) void this.cancels.get(entry.id)?.();
        break;
      }
    }
    await flush();
    // (Of two tabs one may hear of the other's at any moment, and may have heard of a commit before it knew the mutation.)
    const alone = (d: Tab): boolean => d.name !== "d0" || ![8, 9, 15, 16].includes(kind);
    if (still) this.devices.forEach((d, i) => alone(d) && topics.forEach((t, j) => this.holds(isDeepStrictEqual(d.view(t), before[i]?.[j]), still)));
    this.check();
  }

  /** Whether something may have become too old by now, or was shown by nobody else's word. */
  private ages(_before: unknown): boolean {
    return this.devices.some((d) => topics.some((t) => d.outbox.pending(t).some((e) => e.ttl !== undefined)) || d.outbox.troubled().some((e) => e.ttl !== undefined));
  }

  private answer(device: Tab, entry: Entry, y: number): Decision {
    if (y % 2 === 0) return "theirs";
    this.remakes(device, entry, entry.problem);
    return "mine";
  }

  private topicOf({ id }: Result): string | undefined {
    return this.posted.flat().find((m) => m.id === id)?.topic;
  }

  private dropOverlay(device: Tab, result: Result): void {
    const topic = this.topicOf(result);
    if (topic) device.outbox.applied(topic, result.version as number, result.id);
  }

  private hearReceipt(device: Tab): void {
    const receipt = this.hub.receipts[device.receiptsHeard];
    if (!receipt) return;
    device.receiptsHeard++;
    if (receipt.device === device.name) device.store.receive(structuredClone({ kind: "receipt", ...receipt.result } as unknown as ReceiptMessage));
  }

  private holds(law: boolean, what: string): void {
    if (!law) this.violations.push(what);
  }

  /** What holds at every moment. */
  check(): void {
    for (const d of this.devices) {
      for (const topic of topics) {
        const view = d.store.entity(topic).get();
        this.holds(view === d.store.entity(topic).get(), "a snapshot is not stable");
        this.holds(view.version >= (d.versions.get(topic) ?? 0), `I7: ${topic} went back`); // one life
        if (!view.fromCache) d.versions.set(topic, view.version);
        for (const e of d.outbox.pending(topic)) {
          if (e.group && e.seq) this.groups.set(e.group, (this.groups.get(e.group) ?? new Set()).add(`${d.name} ${e.seq}`));
        }
        // I10: what the outbox has forgotten is in the cache. (Two tabs that keep their own bases may differ.)
        if (view.fromCache && d.name !== "d0") {
          const forgot = [...d.settled.values()].filter((s) => s.status === "committed" && s.topic === topic && s.version > view.version);
          this.holds(forgot.every((s) => d.outbox.pending(topic).some((e) => e.id === s.id)), `I10: a reload of ${d.name} took back ${topic}`);
        }
        // I2, I3: the hub's state at that version with what is pending painted over it, and nothing else.
        const paint = (base: JsonObject | null): JsonObject | null => d.outbox.pending(topic).reduce<JsonObject | null>((data, e) => {
          if (e.op === "delete") return null;
          if (e.op === "put") return mergePatch({}, e.data as JsonObject) as JsonObject;
          return data && (mergePatch(data, e.patch as JsonObject) as JsonObject);
        }, base);
        // Where nothing lives the hub tells no version: it may be a later one.
        const gone = this.hub.states.get(topic)?.some((s) => s.version > view.version && !s.data);
        const bases = [this.hub.state(topic, view.version).data, ...(gone ? [null] : [])];
        const shown = view.data ?? null;
        if (view.version > 0) this.holds(bases.some((b) => isDeepStrictEqual(shown, paint(b))), `I2: ${topic} shows something else`);
      }
    }
    assert.deepEqual(this.violations, []);
  }

  /** Lets all that is under way come to its end. */
  async quiesce(): Promise<void> {
    for (let round = 0; round < 300; round++) {
      for (const d of this.devices) {
        d.outbox.start();
        d.machine.write(1000);
        if (!d.streams) d.snapshot();
        d.machine.hear(d, 1000);
        d.hear(1000, 0);
        for (const topic of topics) {
          for (const e of d.outbox.pending(topic)) if (e.state === "held") d.outbox.resolve(e.id, "theirs");
        }
      }
      await flush();
      const calls = this.calls.splice(0);
      for (const c of calls) {
        const { value } = c.reply ?? { value: c.run() };
        if (c.life === c.device.life) c.resolve(value);
      }
      await flush();
      if (calls.length === 0 && this.devices.every((d) => d.open.size === 0 && topics.every((t) => d.outbox.pending(t).length === 0))) break;
      this.clock.advance(31_000);
      await flush();
    }
    this.check();
    this.checkEnd();
  }

  private checkEnd(): void {
    const committed = new Map<string, number>();
    const seqs = new Map<string, number>();
    const touched = new Map<string, { by: Set<string>; version: number }>() // by whom a field has its value;
    for (const { mutation: m, version, before, after } of this.hub.commits) {
      this.holds(!committed.has(m.id), `I4: ${m.id} committed twice`);
      committed.set(m.id, version);
      const lane = `${m.device} ${m.topic}`;
      this.holds((m.seq as number) > (seqs.get(lane) ?? 0), `I8: ${m.id} committed out of order`);
      seqs.set(lane, m.seq as number);
      // A put and a delete say of every field what it is, also of those that are not there.
      for (const f of m.op === "patch" ? Object.keys(m.patch ?? {}) : fields) {
        const last = touched.get(`${m.topic} ${f}`);
        const changes = !isDeepStrictEqual(before?.[f], after?.[f]);
        if (m.guard === "fields" && changes && last && !last.by.has(m.device as string)) {
          this.holds(last.version <= (this.seen.get(m.id) ?? 0), `I5: ${m.id} overwrote ${f} unseen`);
        }
        if (changes) touched.set(`${m.topic} ${f}`, { by: new Set([m.device as string]), version });
        else last?.by.add(m.device as string); // who writes the same value knows it
      }
    }
    const done = new Set(this.hub.commits.map(({ mutation: m }) => `${m.device} ${m.seq}`));
    for (const [group, seqs] of this.groups) {
      const n = [...seqs].filter((seq) => done.has(seq)).length;
      this.holds(n === 0 || n === seqs.size, `I12: ${n} of ${seqs.size} of the atomic ${group} committed`);
    }
    for (const d of this.devices) {
      this.holds(d.open.size === 0, `I9: ${[...d.open].join()} of ${d.name} never ended for who asked`);
      for (const topic of topics) {
        this.holds(d.outbox.pending(topic).length === 0, `I1: ${topic} of ${d.name} is pending for ever`);
        this.holds(isDeepStrictEqual(d.view(topic), this.hub.state(topic).data), `I1: ${topic} of ${d.name} differs from the hub's`);
      }
      for (const [id, s] of d.settled) {
        const version = committed.get(id);
        this.holds((s.status === "committed") === (version !== undefined), `I9: ${id} is said to be ${s.status}`);
        if (s.status === "committed") this.holds(s.version === version, `I9: ${id} has another version`);
      }
      for (const m of this.posted.flat()) if (m.device === d.name) this.holds(d.settled.has(m.id) || this.hub.status(m.id).status !== "committed", `I9: ${m.id} never ended`);
    }
    assert.deepEqual(this.violations, []);
  }
}
