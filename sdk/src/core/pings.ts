import { createAlarm } from "./clock.ts";
import type { Platform } from "./platform.ts";

const FIRST = 1_000; // after a stream is live
const PERIOD = 30_000;
const SPREAD = 0.2; // 24 to 36 s: no more than 3 a minute
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
    let wait = PERIOD;
    if (hidden()) burst = 0;
    else {
      last = clock.now();
      ping();
      if (burst > 0) burst--;
      else if (doubtful() && last - lastBurst >= BETWEEN_BURSTS) {
        burst = BURST - 1;
        lastBurst = last;
      }
      wait = burst > 0 ? FIRST : PERIOD * (1 - SPREAD + 2 * SPREAD * random());
    }
    alarm(due, wait);
  };

  return {
    start() {
      // A stream that comes and goes must not ping each time.
      alarm(due, Math.max(FIRST, last + PERIOD * (1 - SPREAD) - clock.now()));
    },
    stop() {
      burst = 0;
      alarm();
    },
  };
}
