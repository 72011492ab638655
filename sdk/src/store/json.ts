/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. In entities null is absence (docs/protocol.md §6): a member that is null is the same as none. */
export interface JsonObject {
  readonly [member: string]: Json;
}

/** Whether value is an object, and neither an array nor null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member of an object, undefined when it is absent or there is no object; names like "constructor" find nothing. */
export function member(object: JsonObject | null | undefined, name: string): Json | undefined {
  return object && Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

/** The object as the hub keeps it: without members that are null, in nested objects too, but not inside arrays. */
export function withoutNulls(object: JsonObject): JsonObject {
  return merge({}, object);
}

/**
 * What patch makes of target (RFC 7396). Whatever the patch does not touch keeps its reference, so that a view of it need not
 * render again; target itself comes back when nothing changed.
 */
export function merge(target: JsonObject, patch: JsonObject): JsonObject {
  // A Map, because a member may be called __proto__.
  const all = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    const before = all.get(name);
    if (value === null) all.delete(name);
    else all.set(name, isObject(value) ? merge(isObject(before) ? before : {}, value) : value);
  }
  return keep(target, Object.fromEntries(all));
}

/** The patch that does what first and then second do; undefined when no one patch does. */
export function composed(first: JsonObject, second: JsonObject): JsonObject | undefined {
  const all = new Map(Object.entries(first));
  for (const [name, value] of Object.entries(second)) {
    const before = all.get(name);
    // An object makes a new one of what was none, and a patch cannot say that of what it does not know.
    const both = before === undefined || !isObject(value) ? value : isObject(before) ? composed(before, value) : undefined;
    if (both === undefined) return undefined;
    all.set(name, both);
  }
  return Object.fromEntries(all);
}

/** Whether two values are the same; the order of members means nothing. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  return keep(a, b) === a;
}

/** Like after, but with before's references wherever nothing changed: before itself when they are the same. An array is one thing. */
export function keep<T>(before: unknown, after: T): T {
  const list = Array.isArray(after);
  if (before === after || (list ? !Array.isArray(before) || before.length !== after.length : !isObject(before) || !isObject(after))) return after;
  const old = new Map(Object.entries(before as object));
  const members = Object.entries(after as object).map(([name, value]) => [name, keep(old.get(name), value)] as const);
  if (members.length === old.size && members.every(([name, value]) => old.get(name) === value)) return before as T;
  return list ? after : (Object.fromEntries(members) as T);
}
