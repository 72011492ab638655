import type { Clock, Timer } from "./clock.ts";

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
export function createPings(clock: Clock, random: () => number, hidden: () => boolean, ping: () => void, doubtful: () => boolean): Pings {
  let timer: Timer;
  let running = false;
  let burst = 0; // pings that are left of a burst
  let last = -Infinity; // ping
  let lastBurst = -Infinity;

  const wait = (ms: number): void => {
    // A stream that comes and goes must not ping each time.
    const soonest = burst > 0 ? 0 : last + PERIOD * (1 - SPREAD) - clock.now();
    timer = clock.set(due, Math.max(ms, soonest));
  };
  const due = (): void => {
    if (!running) return;
    if (hidden()) {
      burst = 0;
      return wait(PERIOD);
    }
    last = clock.now();
    ping();
    if (burst > 0) burst--;
    else if (doubtful() && last - lastBurst >= BETWEEN_BURSTS) {
      burst = BURST - 1;
      lastBurst = last;
    }
    wait(burst > 0 ? FIRST : PERIOD * (1 - SPREAD + 2 * SPREAD * random()));
  };

  return {
    start() {
      if (running) return;
      running = true;
      wait(FIRST);
    },
    stop() {
      running = false;
      burst = 0;
      clock.clear(timer);
    },
  };
}
