// Entities: versioned objects, changed under guards (docs/protocol.md §6). engine/apply.go is the real hub's.
import type { RoxyProblem } from "../core/problem.ts";
import { isObject, member, merge, same, withoutNulls, type Json, type JsonObject } from "../store/json.ts";
import { byteLength } from "./bytes.ts";
import { contains } from "./grammar.ts";
import { spellTime, type EntityChange } from "./log.ts";
import { refusal } from "./problem.ts";

/** A mutation as it was read. */
export interface MutationAsked {
  readonly id?: string | undefined;
  readonly op: "put" | "patch" | "delete";
  readonly topic: string;
  /** Of a put the object, of a patch the merge patch. */
  readonly content?: JsonObject | undefined;
  readonly guard: "none" | "version" | "fields";
  readonly base: number;
  /** There must be an entity, at whichever version. */
  readonly present?: boolean | undefined;
  readonly device?: string | undefined;
  readonly seq?: number | undefined;
  readonly type?: string | undefined;
  readonly correlation?: string | undefined;
  readonly traceparent?: string | undefined;
  readonly by: string;
}

interface Mark {
  readonly version: number;
  readonly by: string;
  readonly device: string | undefined;
  readonly seq: number;
}

/** An entity with who changed what of it. data is null for a tombstone. */
export interface EntityState {
  readonly topic: string;
  readonly version: number;
  readonly data: JsonObject | null;
  /** In milliseconds since 1970. */
  readonly time: number;
  readonly marks: ReadonlyMap<string, Mark>;
  /** A field without a mark was changed as late as this version: a deletion forgets the marks. */
  readonly forgotten: number;
}

/** As lists and reads have it. */
export interface EntityTold {
  readonly topic: string;
  readonly version: number;
  readonly data: JsonObject | null;
  readonly time?: string;
}

export interface Entities {
  get(topic: string): EntityState;
  set(state: EntityState): void;
  /** Those that exist and match one of the patterns, sorted by topic. */
  matching(patterns: readonly string[]): EntityState[];
  lose(): void;
}

export function createEntities(): Entities {
  const all = new Map<string, EntityState>();
  return {
    get: (topic) => all.get(topic) ?? { topic, version: 0, data: null, time: 0, marks: new Map(), forgotten: 0 },
    set: (state) => void all.set(state.topic, state),
    matching: (patterns) =>
      [...all.values()]
        .filter(({ topic, data }) => data !== null && patterns.some((pattern) => contains(pattern, topic)))
        .sort((a, b) => (a.topic < b.topic ? -1 : 1)),
    lose: () => all.clear(),
  };
}

export function toldEntity({ topic, version, data, time }: EntityState): EntityTold {
  return { topic, version, data, ...(version > 0 && { time: spellTime(time) }) };
}

/** The member of a mutation that holds what it makes of the entity. */
export const contentOf = (op: MutationAsked["op"]): string => (op === "patch" ? "patch" : "data");

/** Returns what m makes of now, and the change that its event tells. Throws the refusal; time is set when it commits. */
export function apply(now: EntityState, m: MutationAsked, maxBytes: number): { next: EntityState; change: EntityChange } {
  if (!now.data && m.op !== "put") {
    checkVersion(now, m);
    throw refusal("not-found", `nothing lives at ${JSON.stringify(m.topic)}: only a put can create it`, { member: "topic" });
  }
  const after = m.op === "delete" ? null : m.op === "put" ? withoutNulls(m.content!) : merge(now.data ?? {}, m.content!);
  if (after) checkResult(m, after, maxBytes);
  checkVersion(now, m);
  const clash = m.guard === "fields" ? clashes(now, m, after) : [];
  if (clash.length > 0) {
    throw refusal("version-conflict", `others changed the same fields behind version ${m.base}; it is at ${now.version} by now`, { member: "base", fields: clash });
  }
  const version = now.version + 1;
  const mutation = m.id === undefined ? {} : { mutation: m.id };
  if (!after) {
    const next: EntityState = { ...now, version, data: null, marks: new Map(), forgotten: version };
    return { next, change: { op: m.op, version, ...mutation } };
  }
  const patch = diff(now.data ?? {}, after);
  const marks = new Map(now.marks);
  for (const field of Object.keys(patch)) marks.set(field, { version, by: m.by, device: m.device, seq: m.seq ?? 0 });
  return { next: { ...now, version, data: after, marks }, change: { op: m.op, version, patch, ...mutation } };
}

function checkResult(m: MutationAsked, after: JsonObject, maxBytes: number): void {
  const fields = Object.keys(after).length;
  if (fields > 1_000) throw refusal("too-large", `the entity would have ${fields} fields, at most 1000`, { member: contentOf(m.op) });
  const bytes = byteLength(JSON.stringify(after));
  if (bytes > maxBytes) throw refusal("too-large", `the entity would take ${bytes} bytes, at most ${maxBytes}`, { member: contentOf(m.op) });
}

function checkVersion(now: EntityState, m: MutationAsked): void {
  const conflict = (why: string): RoxyProblem => refusal("version-conflict", `${m.topic}: ${why}`, { member: "base" });
  if (m.present && !now.data) throw conflict("there is no entity, and there must be one");
  if (m.guard === "version" && m.base === 0 && now.data) throw conflict(`there must be no entity, and one is at version ${now.version}`);
  if (m.guard === "version" && m.base !== 0 && m.base !== now.version) throw conflict(`it must be at version ${m.base} and is at ${now.version}`);
  if (m.guard === "fields" && m.base > now.version) throw conflict(`base ${m.base} is ahead of the entity, which is at version ${now.version}`);
}

/** Returns the fields that m would change to something else than others made of them behind its base. */
function clashes(now: EntityState, m: MutationAsked, after: JsonObject | null): string[] {
  const fields = m.op === "patch" ? Object.keys(m.content!) : Object.keys({ ...now.data, ...after });
  return fields.filter((field) => !same(member(now.data, field), member(after, field)) && changedSince(now, m, field)).sort();
}

function changedSince(now: EntityState, m: MutationAsked, field: string): boolean {
  const mark = now.marks.get(field);
  if (!mark) return now.forgotten > m.base;
  const own = m.device !== undefined && mark.device === m.device && mark.by === m.by && mark.seq < (m.seq ?? 0);
  return mark.version > m.base && !own;
}

/** Returns the merge patch that leads from one object to another. */
function diff(was: JsonObject, now: JsonObject): Record<string, Json> {
  const patch: [string, Json][] = [];
  for (const name of Object.keys({ ...was, ...now }).sort()) {
    const [before, after] = [member(was, name), member(now, name)];
    if (same(before, after)) continue;
    if (after === undefined) patch.push([name, null]);
    else patch.push([name, isObject(before) && isObject(after) ? diff(before, after) : after]);
  }
  return Object.fromEntries(patch);
}
