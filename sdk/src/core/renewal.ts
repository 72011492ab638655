import type { Calls } from "./calls.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Platform } from "./platform.ts";

/** A token is renewed this long before it expires, or when a fifth of its time is left if that is later. */
const LEAD = 60_000;

/** Extends a live connection before its token expires (POST /v1/sessions/{connection}/refresh), by the hub's clock. */
export interface Renewal {
  /** A connection began, at the hub's time. */
  begin(connection: string, hubTime: number): void;
  end(): void;
}

/** anew connects with another token, when the hub does not extend the connection: its user or roles are other ones. */
export function createRenewal(clock: Clock, platform: Platform, calls: Calls, anew: () => void): Renewal {
  let timer: Timer;
  let life = 0;

  const schedule = (connection: string, left: number, expires: number): void => {
    const mine = life;
    const wait = Math.max(left - Math.min(LEAD, left / 5), 0);
    timer = clock.set(() => void renew(mine, connection, expires, left - wait), wait);
  };

  const renew = async (mine: number, connection: string, expires: number, left: number): Promise<void> => {
    if (!calls.stale()) return;
    try {
      const answer = await calls.call({ method: "POST", path: `/v1/sessions/${encodeURIComponent(connection)}/refresh` });
      const next = Date.parse((answer as { expires: string }).expires);
      // The same token again is of no use before the hub ends the stream.
      if (mine === life && next > expires) schedule(connection, next - expires + left, next);
    } catch {
      if (mine === life) anew();
    }
  };

  return {
    begin(connection, hubTime) {
      life++;
      clock.clear(timer);
      const expires = expiry(platform, calls.token());
      if (expires !== undefined && Number.isFinite(hubTime)) schedule(connection, expires - hubTime, expires);
    },
    end() {
      life++;
      clock.clear(timer);
    },
  };
}

/** Returns when a JWT expires, in milliseconds since 1970; undefined for what is none. It is read, not believed. */
export function expiry(platform: Platform, token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(platform.base64(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")));
    const { exp } = claims as { exp?: unknown };
    return typeof exp === "number" ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
