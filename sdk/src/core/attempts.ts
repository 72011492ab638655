import { createAlarm, type Clock } from "./clock.ts";

/** How attempts are spaced, in milliseconds. */
export interface Backoff {
  /** Bound of the first wait; 500. What a stream's `retry:` says takes its place. */
  base?: number;
  /** Bound of every wait that the hub did not ask for; 30,000. */
  cap?: number;
}

/** Two attempts of a client begin at least this far apart, whatever happens. */
export const FLOOR = 1_000;
/** And in any minute there are no more than this. */
export const PER_MINUTE = 20;
/** Bounds what a hub, or a proxy before it, may ask a client to wait. */
export const LONGEST = 600_000;

/** Full jitter: anything up to base·2ⁿ, at most cap, so that clients which lost one hub together do not come back together. */
export function jitter(random: number, failures: number, base: number, cap: number): number {
  return random * Math.min(cap, base * 2 ** Math.min(failures, 32));
}

/** Returns how long a call waits before it is made again: its jitter, and no less than the hub asked for. */
export function delay(random: number, failures: number, asked: number): number {
  return Math.max(jitter(random, failures, 500, 30_000), Math.min(asked, LONGEST));
}

/** The one place where a client's connection attempts begin: no path leads around its floor. */
export interface Attempts {
  /** Begins an attempt after a failure's wait, and no sooner than the hub asked for. Returns the wait. */
  later(asked: number): number;
  /** Begins one as soon as the floor and what the hub asked for allow. */
  soon(): void;
  /** Forgets the attempt that was to begin. */
  cancel(): void;
  /** Takes note that a stream was good for long enough: the next wait is a first one. */
  healthy(): void;
  /** Takes what a stream's `retry:` says for the bound of a first wait. */
  rebase(ms: number): void;
  /** Failures in a row. */
  failures(): number;
}

/** Calls start for each attempt. There is one to begin at a time, and the earlier one counts. */
export function createAttempts(clock: Clock, random: () => number, { base = 500, cap = 30_000 }: Backoff, start: () => void): Attempts {
  let failures = 0;
  let earliest = -Infinity; // as the hub asked for
  let begun = Array<number>(PER_MINUTE).fill(-Infinity); // when the last ones began
  let due = Infinity;
  const alarm = createAlarm(clock);

  const cancel = (): void => {
    alarm();
    due = Infinity;
  };

  /** Begins one at a time, or when it is allowed. */
  const at = (time: number): void => {
    const when = Math.max(time, earliest, begun.at(-1)! + FLOOR, begun[0]! + 60_000);
    if (when >= due) return;
    due = when;
    wait();
  };

  const wait = (): void => {
    alarm(() => {
      const now = clock.now();
      if (now < due) return wait(); // browsers' timers may be early by a fraction
      due = Infinity;
      begun = [...begun.slice(1), now];
      start();
    }, Math.ceil(due - clock.now()));
  };

  return {
    later(asked) {
      const now = clock.now();
      earliest = Math.max(earliest, now + Math.min(asked, LONGEST));
      cancel();
      at(now + jitter(random(), failures++, base, cap));
      return due - now;
    },
    soon: () => at(clock.now()),
    cancel,
    healthy() {
      failures = 0;
    },
    rebase(ms) {
      base = Math.min(ms, cap);
    },
    failures: () => failures,
  };
}
