import type { Calls } from "./calls.ts";
import { createAlarm } from "./clock.ts";
import type { Platform } from "./platform.ts";
import type { Hello } from "./take.ts";

/** A token is renewed this long before it expires, or when a fifth of its time is left if that is later. */
const LEAD = 60_000;

/**
 * Extends a live connection before its token expires (POST /v1/sessions/{connection}/refresh), by the hub's clock. It is told
 * how each begins, and nothing when it ended. Calls anew to connect with another token, when the hub does not extend the
 * connection: its user or roles are other ones.
 */
export function createRenewal(platform: Platform, calls: Calls, anew: () => void): (hello: Hello | undefined) => void {
  const { clock } = platform;
  const alarm = createAlarm(clock);
  let current: Hello | undefined;

  return (hello) => {
    alarm();
    current = hello;
    if (!hello) return;
    const skew = hello.time - clock.now();
    const schedule = (expires: number): void => {
      const renew = async (): Promise<void> => {
        if (!calls.stale()) return;
        const answer = await calls.call({ method: "POST", path: `/v1/sessions/${hello.connection}/refresh` }).catch(() => undefined);
        if (hello !== current) return;
        if (!answer) return anew();
        const next = Date.parse((answer as { expires: string }).expires);
        // The same token again is of no use before the hub ends the stream.
        if (next > expires) schedule(next);
      };
      const left = expires - skew - clock.now();
      alarm(renew, left - Math.min(LEAD, left / 5));
    };
    try {
      // When a JWT expires is read, not believed; what is none is not renewed.
      const [, claims = ""] = calls.token().split(".");
      const { exp } = JSON.parse(platform.base64(claims.replaceAll("-", "+").replaceAll("_", "/"))) as { exp: number };
      if (exp) schedule(exp * 1_000);
    } catch {}
  };
}
