// Two mutations of an entity that become one, because nobody has sent the first.
import { composed, merge, withoutNulls } from "../store/json.ts";
import type { Draft } from "./api.ts";

/** What a mutation says of its entity. */
export const content = ({ op, data, patch }: Draft): Pick<Draft, "op" | "data" | "patch"> => ({ op, data, patch });

/** The mutation that does what both do; undefined when there is none. */
export function united(first: Draft, { op, patch = {} }: Draft): Draft | undefined {
  if (op !== "patch" || first.op === "delete") return undefined;
  if (first.op === "put") return { ...first, data: merge(withoutNulls(first.data ?? {}), patch) };
  const both = composed(first.patch ?? {}, patch);
  return both && { ...first, patch: both };
}

/** The same, of an author who knew the same when they asked for both; what has a type or a time of its own stays alone. */
export function coalesced(first: Draft, second: Draft): Draft | undefined {
  const plain = [first, second].every(({ type, correlation, ttl }) => (type ?? correlation ?? ttl) === undefined);
  return plain && first.guard === second.guard && first.base === second.base ? united(first, second) : undefined;
}
