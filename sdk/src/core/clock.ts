/** A timer that a Clock has set. */
export type Timer = unknown;

/**
 * The time that the SDK goes by: it only ever goes forward and says nothing about the wall clock, so a device whose clock is
 * wrong or is set behaves like any other.
 */
export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Calls back after ms, once. */
  set(callback: () => unknown, ms: number): Timer;
  /** Forgets a timer; one that has fired or was forgotten is no error. */
  clear(timer: Timer): void;
}

/** One timer: to set it again forgets what it was set to. Without a callback it only forgets. */
export type Alarm = (callback?: () => unknown, ms?: number) => void;

export function createAlarm(clock: Clock): Alarm {
  let timer: Timer;
  return (callback, ms) => {
    clock.clear(timer);
    timer = callback && clock.set(callback, ms!);
  };
}
