import { createAlarm, type Alarm, type Clock } from "./clock.ts";
import { matches } from "./topic.ts";

/** How long a topic outlives its last user: a component that is mounted twice, a changed route and a reloaded module are one. */
const LINGER = 2_000;

/** What a client subscribes to, counted by who wants it. */
export interface Topics {
  /** Wants patterns until the function it returns is called; to call that again is harmless. */
  retain(patterns: readonly string[]): () => void;
  list(): string[];
}

/** Calls changed when list may answer something else. */
export function createTopics(clock: Clock, changed: () => void): Topics {
  const wanted = new Map<string, { users: number; readonly linger: Alarm }>();
  return {
    retain(patterns) {
      const mine = new Set(patterns);
      for (const pattern of mine) {
        const topic = wanted.get(pattern) ?? { users: 0, linger: createAlarm(clock) };
        topic.users++;
        topic.linger();
        wanted.set(pattern, topic);
      }
      changed();
      return () => {
        for (const pattern of mine) {
          const topic = wanted.get(pattern)!;
          const gone = (): void => {
            wanted.delete(pattern);
            changed();
          };
          if (--topic.users === 0) topic.linger(gone, LINGER);
        }
        mine.clear();
      };
    },
    list() {
      const all = [...wanted.keys()].sort();
      // A topic inside another one's pattern need not be asked for.
      return all.filter((topic) => topic.includes("*") || !all.some((pattern) => pattern !== topic && matches(pattern, topic)));
    },
  };
}
