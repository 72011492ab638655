import { createAlarm } from "./clock.ts";
import type { Platform } from "./platform.ts";
import type { Gauge } from "./quality.ts";

const FIRST = 1_000; // after a stream is live, and in a burst
const SOONEST = 24_000; // no more than 3 a minute
const SPREAD = 12_000;
const BURST = 1_500; // three of them
const BETWEEN_BURSTS = 120_000;

/** Measures round trips while the stream is live, as it is told, and somebody sees the page. */
export function createPings({ clock, random, hidden }: Platform, gauge: Gauge, ping: () => Promise<number>): (live: boolean) => void {
  const alarm = createAlarm(clock);
  let last = -Infinity;
  let burst = -Infinity; // when the last one began

  const due = (): void => {
    const now = clock.now();
    let wait = SOONEST + SPREAD * random();
    if (!hidden()) {
      last = now;
      void ping()
        .catch(() => undefined)
        .then((hubTime) => gauge.pinged(now, hubTime));
      // At a low level three in a row tell more.
      if (gauge.level() <= 1 && now - burst >= BETWEEN_BURSTS) burst = now;
      if (now - burst < BURST) wait = FIRST;
    }
    alarm(due, wait);
  };

  // A stream that comes and goes must not ping each time.
  return (live) => alarm(live ? due : undefined, Math.max(FIRST, last + SOONEST - clock.now()));
}
