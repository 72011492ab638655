import type { JsonObject } from "../store/json.ts";
import { draftOf } from "./lane.ts";
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
export function rebased(entry: Entry, id: string, decision: "mine" | { readonly merge: JsonObject }, { current }: Problem): Entry {
  const base = current?.version;
  return {
    ...draftOf(entry),
    ...(decision !== "mine" && { op: "patch", data: undefined, patch: decision.merge }),
    seq: entry.seq,
    group: entry.group,
    id,
    // Who may write and not read cannot know a version to guard.
    guard: base === undefined ? "none" : entry.guard,
    base,
    state: "queued",
  };
}
