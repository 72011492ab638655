import type { Clock } from "../core/clock.ts";

/** A clock that only the test moves. Hand it to createTestHub, whose platform gives it to the client too. */
export interface ManualClock extends Clock {
  /**
   * Goes on by ms and calls back what falls due on the way, in order; whatever promises can do in between is done before
   * the time goes on. `go(0)` only lets them.
   */
  go(ms: number): Promise<void>;
  /** Goes on at once, as for a device that slept: what fell due meanwhile is called late. */
  sleep(ms: number): Promise<void>;
}

/** Returns a clock that stands still until it is told to go. It does not go with the fake timers of vitest or jest: use one or the other. */
export function createManualClock(): ManualClock {
  let now = 1_000; // as on a page that is a second old: no clock of a browser says 0
  let last = 0;
  const timers = new Map<number, { readonly at: number; readonly callback: () => void }>();
  // A turn of the event loop: all promises that can be settled are by then, however long their chain.
  const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 0));
  const soonest = (until: number): number | undefined => {
    let found: number | undefined;
    for (const [id, { at }] of timers) if (at <= until && (found === undefined || at < timers.get(found)!.at)) found = id;
    return found;
  };
  const go = async (ms: number): Promise<void> => {
    const until = now + ms;
    await settle();
    for (let id = soonest(until); id !== undefined; id = soonest(until)) {
      const { at, callback } = timers.get(id)!;
      timers.delete(id);
      now = Math.max(now, at);
      callback();
      await settle();
    }
    now = until;
  };
  return {
    now: () => now,
    set(callback, ms) {
      timers.set(++last, { at: now + Math.max(0, ms), callback });
      return last;
    },
    clear: (timer) => void timers.delete(timer as number),
    go,
    async sleep(ms) {
      now += ms;
      await go(0);
    },
  };
}
