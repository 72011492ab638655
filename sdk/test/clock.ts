import type { Clock } from "../src/core/clock.ts";

/** A clock that only tests move. */
export interface FakeClock extends Clock {
  /** Goes on by ms, and calls back what falls due on the way, in order; promises in between are settled. */
  go(ms: number): Promise<void>;
  /** Goes on at once, as a device does that slept: what fell due meanwhile is called late. */
  sleep(ms: number): Promise<void>;
}

export function createFakeClock(): FakeClock {
  let now = 1_000_000;
  let order = 0;
  const timers = new Map<number, { at: number; callback: () => void }>();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 12; i++) await Promise.resolve();
  };
  const next = (until: number): [number, { at: number; callback: () => void }] | undefined =>
    [...timers].filter(([, { at }]) => at <= until).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
  const go = async (ms: number): Promise<void> => {
    const until = now + ms;
    await settle();
    for (let timer = next(until); timer; timer = next(until)) {
      timers.delete(timer[0]);
      now = Math.max(now, timer[1].at);
      timer[1].callback();
      await settle();
    }
    now = until;
  };
  return {
    now: () => now,
    set(callback, ms) {
      timers.set(++order, { at: now + Math.max(0, ms), callback });
      return order;
    },
    clear: (timer) => void timers.delete(timer as number),
    go,
    async sleep(ms) {
      now += ms;
      await go(0);
    },
  };
}
