import type { JsonObject } from "../store/json.ts";
import type { Entry } from "./storage.ts";
import type { Problem } from "./wire.ts";

/** Two authors changed the same: problem tells the fields, and the entity as it is when its author may read it. */
export interface Conflict {
  readonly mutation: Entry;
  readonly problem: Problem;
}

/**
 * What becomes of a mutation in conflict: it is given up; it is made again over what the others did; another patch is made in
 * its place; or it is held until Outbox.resolve.
 */
export type Decision = "theirs" | "mine" | "ask" | { readonly merge: JsonObject };

/**
 * The mutation that takes the place of one in conflict, for an author who has now seen what the hub told as current. The hub knows
 * the old id as refused, so it has a new one; it keeps its seq, because its author's later mutations of the entity come behind it.
 */
export function rebased(entry: Entry, id: string, decision: "mine" | { readonly merge: JsonObject }, problem: Problem): Entry {
  const { seq, topic, type, correlation } = entry;
  const base = problem.current?.version;
  const change =
    decision === "mine"
      ? { op: entry.op, ...(entry.data && { data: entry.data }), ...(entry.patch && { patch: entry.patch }) }
      : { op: "patch" as const, patch: decision.merge };
  return {
    seq,
    id,
    topic,
    ...change,
    // Who may write and not read cannot know a version to guard.
    ...(base === undefined ? { guard: "none" } : { guard: entry.guard, base }),
    ...(type !== undefined && { type }),
    ...(correlation !== undefined && { correlation }),
    state: "queued",
  };
}
