import type { Clock, Timer } from "./clock.ts";
import { matches } from "./topic.ts";

/** How long a topic outlives its last user: a component that is mounted twice, a changed route and a reloaded module are one. */
const LINGER = 2_000;

/** What a client subscribes to, counted by who wants it. */
export interface Topics {
  /** Wants patterns until the function it returns is called; to call that again is harmless. */
  retain(patterns: readonly string[]): () => void;
  list(): string[];
}

/** Calls changed when list will answer something else. */
export function createTopics(clock: Clock, changed: () => void): Topics {
  const wanted = new Map<string, { users: number; timer: Timer }>();
  const release = (pattern: string): void => {
    const topic = wanted.get(pattern)!;
    if (--topic.users > 0) return;
    topic.timer = clock.set(() => {
      if (topic.users > 0 || wanted.get(pattern) !== topic) return;
      wanted.delete(pattern);
      changed();
    }, LINGER);
  };
  return {
    retain(patterns) {
      const mine = [...new Set(patterns)];
      let more = false;
      for (const pattern of mine) {
        const topic = wanted.get(pattern);
        if (topic) {
          topic.users++;
          clock.clear(topic.timer);
        } else {
          wanted.set(pattern, { users: 1, timer: undefined });
          more = true;
        }
      }
      if (more) changed();
      let released = false;
      return () => {
        if (released) return;
        released = true;
        mine.forEach(release);
      };
    },
    list() {
      const all = [...wanted.keys()].sort();
      // A topic inside another one's pattern need not be asked for.
      return all.filter((topic) => topic.includes("*") || !all.some((pattern) => pattern !== topic && matches(pattern, topic)));
    },
  };
}
