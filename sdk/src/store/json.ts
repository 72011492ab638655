/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. In entities null is absence (docs/protocol.md §6): a member that is null is the same as none. */
export interface JsonObject {
  readonly [member: string]: Json;
}

/** Whether value is an object, and neither an array nor null. */
export function isObject(value: Json | undefined): value is JsonObject {
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
  const result: Record<string, Json> = Object.assign(Object.create(null), target);
  let changed = false;
  for (const name of Object.keys(patch)) {
    const before = member(target, name);
    const value = patch[name] as Json;
    if (value === null) {
      changed ||= name in result;
      delete result[name];
      continue;
    }
    const after = isObject(value) ? merge(isObject(before) ? before : {}, value) : value;
    if (!same(before, after)) {
      result[name] = after;
      changed = true;
    }
  }
  // Built without a prototype, because a member may be called __proto__; handed out as the plain object that apps expect.
  return changed ? Object.fromEntries(Object.entries(result)) : target;
}

/** The patch that does what first and then second do; undefined when no one patch does. */
export function composed(first: JsonObject, second: JsonObject): JsonObject | undefined {
  const all = new Map(Object.entries(first));
  for (const [name, value] of Object.entries(second)) {
    const before = all.get(name);
    if (before === undefined || !isObject(value)) {
      all.set(name, value);
      continue;
    }
    // An object makes a new one of what was none, and a patch cannot say that of what it does not know.
    const both = isObject(before) ? composed(before, value) : undefined;
    if (!both) return undefined;
    all.set(name, both);
  }
  return Object.fromEntries(all);
}

/** Whether two values are the same; the order of members means nothing. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    const other = b as readonly Json[];
    return Array.isArray(b) && a.length === b.length && a.every((value, i) => same(value as Json, other[i]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
}

/** Like after, but with before's references wherever nothing changed. */
export function keep(before: JsonObject, after: JsonObject): JsonObject {
  if (same(before, after)) return before;
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => {
      const old = member(before, name);
      if (isObject(old) && isObject(value)) return [name, keep(old, value)];
      return [name, same(old, value) ? (old as Json) : value];
    }),
  );
}
