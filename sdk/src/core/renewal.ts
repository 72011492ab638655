import type { Calls } from "./calls.ts";
import { createAlarm } from "./clock.ts";
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
export function createRenewal(platform: Platform, calls: Calls, anew: () => void): Renewal {
  const { clock } = platform;
  const alarm = createAlarm(clock);
  let current: string | undefined;

  /** Renews before a token expires, with skew from our clock to the hub's. */
  const schedule = (connection: string, expires: number, skew: number): void => {
    const left = expires - skew - clock.now();
    const renew = async (): Promise<void> => {
      if (!calls.stale()) return;
      const answer = await calls.call({ method: "POST", path: `/v1/sessions/${connection}/refresh` }).catch(() => undefined);
      if (connection !== current) return;
      if (!answer) return anew();
      const next = Date.parse((answer as { expires: string }).expires);
      // The same token again is of no use before the hub ends the stream.
      if (next > expires) schedule(connection, next, skew);
    };
    alarm(renew, Math.max(left - Math.min(LEAD, left / 5), 0));
  };

  return {
    begin(connection, hubTime) {
      current = connection;
      const expires = expiry(platform, calls.token());
      if (expires) schedule(connection, expires, hubTime - clock.now());
    },
    end() {
      current = undefined;
      alarm();
    },
  };
}

/** Returns when a JWT expires, in milliseconds since 1970; undefined for what is none. It is read, not believed. */
function expiry(platform: Platform, token: string): number | undefined {
  const [, claims = ""] = token.split(".");
  try {
    const { exp } = JSON.parse(platform.base64(claims.replaceAll("-", "+").replaceAll("_", "/"))) as { exp: number };
    return exp * 1_000;
  } catch {
    return undefined;
  }
}
