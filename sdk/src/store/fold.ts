import { type JsonObject, member, merge, same, withoutNulls } from "./json.ts";
import type { Entry } from "../outbox/storage.ts";
import type { Entity } from "../outbox/wire.ts";

/** What is known of an entity. */
export interface Base extends Entity {
  /** It is from before a reload, or a reset, and counts for nothing but the screen: the hub has not been heard of it since. */
  readonly cached?: boolean;
}

/** What a mutation makes of an entity, as the hub would: a patch of nothing makes nothing. */
export function apply(data: JsonObject | null, { op, data: put, patch }: Entry): JsonObject | null {
  if (op === "delete") return null;
  if (op === "put") return withoutNulls(put ?? {});
  return data && merge(data, patch ?? {});
}

/** The entity with everything pending painted over it, in order (R1). */
export function fold(data: JsonObject | null, pending: readonly Entry[]): JsonObject | null {
  return pending.reduce(apply, data);
}

/** The fields that a mutation is about, given what it found: those of a patch, and all that there were or will be. */
export function fieldsOf(entry: Entry, before: JsonObject | null): string[] {
  return Object.keys(entry.op === "patch" ? (entry.patch ?? {}) : { ...before, ...apply(before, entry) });
}

/**
 * The queued mutations that the hub will refuse, now that somebody else's change has made base of what was before, with the
 * fields that clash (R7). Only the first that touches a field can be told: one of ours before it may make it legal.
 */
export function overtaken({ data, version }: Base, before: JsonObject | null, pending: readonly Entry[]): { id: string; fields: string[] }[] {
  const found: { id: string; fields: string[] }[] = [];
  const touched: string[] = [];
  for (const entry of data ? pending : []) { // of what was deleted, what the hub says depends on what comes
    const fields = fieldsOf(entry, data);
    const after = apply(data, entry);
    const clash = fields.filter((f) => !touched.includes(f) && !same(member(before, f), member(data, f)) && !same(member(after, f), member(data, f)));
    if (clash.length > 0 && entry.state === "queued" && entry.guard === "fields" && (entry.base ?? 0) < version) found.push({ id: entry.id, fields: clash });
    if (entry.op !== "patch") break; // it says of every field what it is, so that all behind it may be legal
    touched.push(...fields);
  }
  return found;
}
