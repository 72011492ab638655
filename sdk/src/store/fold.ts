import { type JsonObject, member, merge, same, withoutNulls } from "./json.ts";
import type { Entry } from "../outbox/storage.ts";

/** What is known of an entity: data is null when nothing lives there. */
export interface Base {
  readonly version: number;
  readonly data: JsonObject | null;
  /** An earlier page knew it, and this one has heard nothing yet. */
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
  if (entry.op === "patch") return Object.keys(entry.patch ?? {});
  return [...new Set([...Object.keys(before ?? {}), ...Object.keys(withoutNulls(entry.data ?? {}))])];
}

/**
 * The queued mutations that the hub will refuse, now that somebody else's change has made base of what was before, with the
 * fields that clash (R7). Only the first that touches a field can be told: one of ours before it may make it legal.
 */
export function overtaken(base: Base, before: JsonObject | null, pending: readonly Entry[]): { id: string; fields: string[] }[] {
  const { data } = base;
  if (data === null) return []; // what the hub says of it depends on what comes
  const touched = new Set<string>();
  const found: { id: string; fields: string[] }[] = [];
  for (const entry of pending) {
    const fields = fieldsOf(entry, data);
    if (entry.state === "queued" && entry.guard === "fields" && (entry.base ?? 0) < base.version) {
      const after = apply(data, entry);
      const clash = fields.filter(
        (f) => !touched.has(f) && !same(member(before, f), member(data, f)) && !same(member(after, f), member(data, f)),
      );
      if (clash.length > 0) found.push({ id: entry.id, fields: clash });
    }
    if (entry.op !== "patch") break; // it says of every field what it is, so that all behind it may be legal
    for (const field of fields) touched.add(field);
  }
  return found;
}
