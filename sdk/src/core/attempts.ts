import { createAlarm, type Clock } from "./clock.ts";

/** How attempts are spaced, in milliseconds. */
export interface Backoff {
  /** Bound of the first wait; 500. What the hub's hello says takes its place. */
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
  return random * Math.min(cap, base * 2 ** failures);
}

/** Returns how long a call waits before it is made again: its jitter, and no less than the hub asked for. */
export function delay(random: number, failures: number, asked: number): number {
  return Math.max(jitter(random, failures, 500, 30_000), Math.min(asked, LONGEST));
}

/** The one place where a client's connection attempts begin: no path leads around its floor. */
export interface Attempts {
  /** In a row. A stream that was good for long enough sets it to 0: the next wait is a first one. */
  failures: number;
  /** Bound of a first wait; what the hub's hello says takes its place. */
  base: number;
  /**
   * Begins an attempt as soon as the floor and what the hub asked for before allow; with `asked`, what the hub asks for now, after
   * a failure's wait and no sooner than that. Returns the wait.
   */
  begin(asked?: number): number;
  /** Forgets the attempt that was to begin. */
  cancel(): void;
}

/** Calls start for each attempt. There is one to begin at a time, and the earlier one counts. */
export function createAttempts(clock: Clock, random: () => number, { base = 500, cap = 30_000 }: Backoff | undefined = {}, start: () => void): Attempts {
  let earliest = -Infinity; // as the hub asked for
  let begun = Array<number>(PER_MINUTE).fill(-Infinity); // when the last ones began
  let wanted = Infinity; // when the next one would begin if it might
  const alarm = createAlarm(clock);

  const wait = (): number => Math.ceil(Math.max(wanted, earliest, begun.at(-1)! + FLOOR, begun[0]! + 60_000) - clock.now());

  const at = (time: number): number => {
    wanted = Math.min(wanted, time);
    alarm(() => {
      if (wait() > 0) return at(wanted); // browsers' timers may be early by a fraction
      wanted = Infinity;
      begun = [...begun.slice(1), clock.now()];
      start();
    }, wait());
    return wait();
  };

  const attempts: Attempts = {
    failures: 0,
    base,
    begin(asked) {
      const now = clock.now();
      if (asked === undefined) return at(now);
      earliest = Math.max(earliest, now + Math.min(asked, LONGEST));
      return at(now + jitter(random(), attempts.failures++, attempts.base, cap));
    },
    cancel() {
      alarm();
      wanted = Infinity;
    },
  };
  return attempts;
}
