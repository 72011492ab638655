import type { Clock } from "./clock.ts";
import type { Platform } from "./platform.ts";
import type { Transport } from "./transport.ts";

/** How long a transport that does not work here is left out. It is never given up: networks change, and so do proxies. */
const LEFT_OUT = 1_800_000;

/** Chooses among transports, the first that works. */
export interface Ladder {
  choose(): Transport | undefined;
  /** The transport cannot work here: another one is next. Reports whether there is one. */
  leave(transport: Transport): boolean;
  /** It opened without a hello, or did not open although the hub answers otherwise: the second time in a row it is left. */
  fails(transport: Transport): boolean;
  works(transport: Transport): void;
}

export function createLadder(clock: Clock, platform: Platform, transports: readonly Transport[]): Ladder {
  const usable = transports.filter((transport) => transport.usable(platform));
  /** Until when those that failed are left out; the first time until a moment that has passed. When one is tried again, once is enough. */
  const until = new Map<Transport, number>();
  const wait = (transport: Transport): number => Math.max(0, (until.get(transport) ?? 0) - clock.now());
  const leave = (transport: Transport): boolean => {
    until.set(transport, clock.now() + LEFT_OUT);
    return usable.length > 1;
  };

  return {
    // When all are left out, the one whose time is up first.
    choose: () => [...usable].sort((a, b) => wait(a) - wait(b))[0],
    leave,
    fails(transport) {
      if (until.has(transport)) return leave(transport);
      until.set(transport, 0);
      return false;
    },
    works: (transport) => void until.delete(transport),
  };
}
