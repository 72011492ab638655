import type { Clock } from "./clock.ts";
import { matches } from "./topic.ts";

/** How long a topic outlives its last user: a component that is mounted twice, a changed route and a reloaded module are one. */
const LINGER = 2_000;

/** What a client subscribes to. */
export interface Topics {
  /** Wants patterns until the function it returns is called; to call that again is harmless. */
  retain(patterns: readonly string[]): () => void;
  list(): string[];
}

/** Calls changed when list may answer something else. */
export function createTopics(clock: Clock, changed: () => void): Topics {
  const wanted = new Set<readonly string[]>(); // what each user wants, for as long as it lingers
  return {
    retain(patterns) {
      const mine = [...patterns];
      const gone = (): void => {
        wanted.delete(mine);
        changed();
      };
      wanted.add(mine);
      changed();
      return () => void clock.set(gone, LINGER);
    },
    list() {
      const all = [...new Set([...wanted].flat())].sort();
      // A topic inside another one's pattern need not be asked for.
      return all.filter((topic) => topic.includes("*") || !all.some((pattern) => pattern !== topic && matches(pattern, topic)));
    },
  };
}
