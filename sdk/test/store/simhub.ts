import { isDeepStrictEqual } from "node:util";
import { matches } from "../../src/core/topic.ts";
import type { Entity, Mutation, Problem, Result } from "../../src/outbox/wire.ts";
import type { Json, JsonObject } from "../../src/store/json.ts";
import type { Change } from "../../src/store/bases.ts";

/** A merge patch as RFC 7396 spells it, on purpose not the SDK's own. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, Json> = typeof target === "object" && target && !Array.isArray(target) ? { ...target } as Record<string, Json> : {};
  for (const [name, value] of Object.entries(patch as JsonObject)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

interface Mark {
  version: number;
  device: string;
  seq: number;
}

interface State {
  version: number;
  data: JsonObject | null;
  marks: Map<string, Mark>;
  /** Fields without a mark count as changed by then: a deletion forgets the marks. */
  forgotten: number;
}

/** How the hub is broken, to see that the laws notice. */
export type HubFault = "no idempotency" | "no own device" | "last write wins";

/** One commit, as the oracles judge it. */
export interface Commit {
  readonly mutation: Mutation;
  readonly version: number;
  readonly before: JsonObject | null;
  readonly after: JsonObject | null;
}

/** A hub of one tenant that follows docs/protocol.md §6; a device stands for its user. */
export class SimHub {
  readonly log: Change[] = [];
  readonly commits: Commit[] = [];
  readonly states = new Map<string, State[]>(); // by version
  readonly results = new Map<string, { print: string; result: Result }>();
  readonly receipts: { device: string; result: Result }[] = [];
  private readonly fault: HubFault | undefined;
  constructor(fault?: HubFault) {
    this.fault = fault;
  }

  state(topic: string, version = Infinity): State {
    const all = this.states.get(topic) ?? [];
    return all[Math.min(version, all.length) - 1] ?? { version: 0, data: null, marks: new Map(), forgotten: 0 };
  }

  entity(topic: string): Entity | undefined {
    const { version, data } = this.state(topic);
    return data ? { topic, version, data } : undefined;
  }

  list(pattern: string): Entity[] {
    return this.topics().flatMap((topic) => (matches(pattern, topic) && this.entity(topic)) || []);
  }

  topics(): string[] {
    return [...this.states.keys()].sort();
  }

  status(id: string): Result {
    return this.results.get(id)?.result ?? { id, status: "unknown" };
  }

  cancel(id: string): Result {
    const known = this.results.get(id);
    if (known) return known.result;
    const result: Result = { id, status: "cancelled", problem: { code: "cancelled" } };
    this.results.set(id, { print: "", result });
    return result;
  }

  /** All or none: of a refused call only the refused mutation has a result. */
  mutateAll(all: readonly Mutation[]): Result[] {
    if (all.length === 1) return all.map((m) => this.mutate(m));
    const [commits, events, receipts] = [this.commits.length, this.log.length, this.receipts.length];
    const states = new Map([...this.states].map(([topic, those]) => [topic, [...those]]));
    const fresh = all.filter((m) => !this.results.has(m.id));
    const results = all.map((m) => this.mutate(m));
    const refused = results.find((result) => result.status === "refused");
    if (!refused) return results;
    this.commits.splice(commits);
    this.log.splice(events);
    this.states.clear();
    for (const [topic, those] of states) this.states.set(topic, those);
    for (const m of fresh) if (m.id !== refused.id) this.results.delete(m.id);
    const own = this.receipts.splice(receipts).filter(({ result }) => result === refused);
    this.receipts.push(...own);
    return [refused];
  }

  mutate(m: Mutation): Result {
    const print = JSON.stringify(m);
    const known = this.results.get(m.id);
    if (known && this.fault !== "no idempotency") {
      if (known.result.status === "cancelled") return { id: m.id, status: "refused", problem: { code: "cancelled" } };
      if (known.print !== print) return { id: m.id, status: "refused", problem: { code: "key-reused" } };
      return known.result;
    }
    const now = this.state(m.topic);
    const problem = this.judge(m, now);
    const result: Result = problem
      ? { id: m.id, status: "refused", problem }
      : { id: m.id, status: "committed", version: now.version + 1 };
    if (!problem) this.commit(m, now);
    this.results.set(m.id, { print, result });
    this.receipts.push({ device: m.device as string, result });
    return result;
  }

  /** Why the hub would refuse m if nothing happened behind version of its entity but what is ahead of m. */
  foresee(ahead: readonly Mutation[], m: Mutation, version: number): Problem | undefined {
    const then = new SimHub();
    then.states.set(m.topic, (this.states.get(m.topic) ?? []).slice(0, version));
    for (const own of ahead) {
      const known = this.results.get(own.id)?.result;
      if (known?.status === "committed" ? (known.version as number) > version : !known) then.mutate(own);
    }
    return then.judge(m, then.state(m.topic));
  }

  /** Why the hub refuses m at a state. */
  judge(m: Mutation, now: State): Problem | undefined {
    const after = this.after(m, now);
    const current: Entity = { topic: m.topic, version: now.version, data: now.data };
    const base = m.base ?? 0;
    const stale = m.guard === "version" ? (base === 0 ? now.data !== null : base !== now.version) : base > now.version;
    const conflict: Problem = { code: "version-conflict", current, fields: [] };
    if (!now.data && m.op !== "put") return stale ? conflict : { code: "not-found" };
    if (Object.values(after ?? {}).includes("bad")) return { code: "schema-violation" };
    if (stale) return conflict;
    if (m.guard !== "fields" || this.fault === "last write wins") return undefined;
    const names = m.op === "patch" ? Object.keys(m.patch ?? {}) : [...new Set([...Object.keys(now.data ?? {}), ...Object.keys(after ?? {})])];
    const fields = names.filter((f) => !isDeepStrictEqual(now.data?.[f], after?.[f]) && this.changedSince(m, now, f));
    return fields.length > 0 ? { ...conflict, fields } : undefined;
  }

  private changedSince(m: Mutation, now: State, field: string): boolean {
    const mark = now.marks.get(field);
    if (!mark) return now.forgotten > (m.base ?? 0);
    const own = mark.device === m.device && mark.seq < (m.seq ?? 0) && this.fault !== "no own device";
    return mark.version > (m.base ?? 0) && !own;
  }

  private after(m: Mutation, now: State): JsonObject | null {
    if (m.op === "delete") return null;
    return (m.op === "put" ? mergePatch({}, m.data as JsonObject) : mergePatch(now.data ?? {}, m.patch as JsonObject)) as JsonObject;
  }

  private commit(m: Mutation, now: State): void {
    const after = this.after(m, now);
    const version = now.version + 1;
    const marks = new Map(after ? now.marks : []);
    const patch: Record<string, Json> = {};
    for (const f of new Set([...Object.keys(now.data ?? {}), ...Object.keys(after ?? {})])) {
      if (!after || isDeepStrictEqual(now.data?.[f], after[f])) continue;
      patch[f] = diff(now.data?.[f], after[f]);
      marks.set(f, { version, device: m.device as string, seq: m.seq as number });
    }
    const states = this.states.get(m.topic) ?? [];
    this.states.set(m.topic, states);
    states.push({ version, data: after, marks, forgotten: after ? now.forgotten : version });
    this.commits.push({ mutation: m, version, before: now.data, after });
    this.log.push({ topic: m.topic, op: m.op, version, base: now.version, ...(after && { patch }), mutation: m.id });
  }
}

function diff(was: Json | undefined, now: Json | undefined): Json {
  if (now === undefined) return null;
  if (!isPlain(was) || !isPlain(now)) return now;
  const patch: Record<string, Json> = {};
  for (const name of new Set([...Object.keys(was), ...Object.keys(now)])) {
    if (!isDeepStrictEqual(was[name], now[name])) patch[name] = diff(was[name], now[name]);
  }
  return patch;
}

function isPlain(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
