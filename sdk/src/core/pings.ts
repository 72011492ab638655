import { createAlarm } from "./clock.ts";
import type { Platform } from "./platform.ts";

const FIRST = 1_000; // after a stream is live, and in a burst
const SOONEST = 24_000; // no more than 3 a minute
const SPREAD = 12_000;
const BURST = 3;
const BETWEEN_BURSTS = 120_000;

/** Measures round trips while the stream is live and somebody sees the page. */
export interface Pings {
  start(): void;
  stop(): void;
}

/** Calls ping when it is time; doubtful tells whether the level is so low that three in a row shall tell more. */
export function createPings({ clock, random, hidden }: Platform, ping: () => void, doubtful: () => boolean): Pings {
  const alarm = createAlarm(clock);
  let burst = 0; // pings that are left of a burst
  let last = -Infinity; // ping
  let lastBurst = -Infinity;

  const due = (): void => {
    let wait = SOONEST + SPREAD * random();
    if (hidden()) burst = 0;
    else {
      last = clock.now();
      ping();
      if (burst > 0) burst--;
      else if (doubtful() && last - lastBurst >= BETWEEN_BURSTS) {
        burst = BURST - 1;
        lastBurst = last;
      }
      if (burst > 0) wait = FIRST;
    }
    alarm(due, wait);
  };

  return {
    start() {
      // A stream that comes and goes must not ping each time.
      alarm(due, Math.max(FIRST, last + SOONEST - clock.now()));
    },
    stop() {
      burst = 0;
      alarm();
    },
  };
}
