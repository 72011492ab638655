import type { PresenceMessage, Present } from "../core/messages.ts";

/** What to subscribe to, to be told who is there (docs/protocol.md §9). */
export const PRESENCE: readonly string[] = ["roxy/presence"];

/** Who is present after a message, where now were so before it. */
export function presentAfter(now: readonly Present[], { present, part, joined = [], left = [] }: PresenceMessage): readonly Present[] {
  if (present) return part === 1 ? present : [...now, ...present];
  const changed = [...joined, ...left];
  return [...now.filter((one) => !changed.some(({ user, device }) => user === one.user && device === one.device)), ...joined];
}
