import type { Clock, Timer } from "./clock.ts";

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

/** The one place where a client's connection attempts begin: no path leads around its floor. */
export interface Attempts {
  /** Begins an attempt after a failure's wait, and no sooner than the hub asked for. Returns the wait. */
  later(asked?: number): number;
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
export function createAttempts(clock: Clock, random: () => number, backoff: Backoff, start: () => void): Attempts {
  const cap = backoff.cap ?? 30_000;
  let base = backoff.base ?? 500;
  let failures = 0;
  let earliest = -Infinity; // as the hub asked for
  const begun: number[] = []; // when the last PER_MINUTE attempts began
  let due = Infinity;
  let timer: Timer;

  const allowed = (): number =>
    Math.max(earliest, (begun.at(-1) ?? -Infinity) + FLOOR, begun.length < PER_MINUTE ? -Infinity : begun[0]! + 60_000);

  const cancel = (): void => {
    if (due < Infinity) clock.clear(timer);
    due = Infinity;
  };

  const at = (when: number): void => {
    if (when >= due) return;
    cancel();
    due = when;
    timer = clock.set(fire, Math.max(0, Math.ceil(when - clock.now())));
  };

  const fire = (): void => {
    const now = clock.now();
    const when = Math.max(due, allowed());
    due = Infinity;
    if (when > now) return at(when); // browsers' timers may be early by a fraction
    begun.push(now);
    if (begun.length > PER_MINUTE) begun.shift();
    start();
  };

  return {
    later(asked = 0) {
      const now = clock.now();
      earliest = Math.max(earliest, now + Math.min(asked, LONGEST));
      const when = Math.max(now + jitter(random(), failures++, base, cap), allowed());
      cancel();
      at(when);
      return when - now;
    },
    soon: () => at(Math.max(clock.now(), allowed())),
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
