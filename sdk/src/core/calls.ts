import { delay } from "./attempts.ts";
import type { Credentials, Platform } from "./platform.ts";
import { ask, unreachable, type RoxyProblem } from "./problem.ts";

/** Which client this is, in the header Roxy-Client: the hub then refuses with a status and not with a stream of one goodbye. */
const CLIENT = "js/0.0.0";

/** The last time that a call is repeated: after half a minute on average. */
const REPEATS = 6;
/** Bounds one attempt of a call: three times what a hub takes before it gives up. */
const PATIENCE = 15_000;

/**
 * Returns the token that calls and streams carry; "" sends none. It is asked before every attempt. With `fresh` the last one
 * was refused, or is about to expire: return another one.
 */
export type TokenSource = (why: { fresh: boolean }) => string | null | undefined | Promise<string | null | undefined>;

/** Requests that end, of one client. */
export interface Calls {
  readonly url: string;
  readonly credentials: Credentials;
  /** Whether the client has a token. */
  readonly tokened: boolean;
  /** Makes a call until the hub has answered. With `once`, one attempt: nothing protects the call from doubling. */
  call(request: Call, once?: boolean): Promise<unknown>;
  /** Asks for the hub's time, in milliseconds, once and with nothing that would need a preflight. */
  ping(): Promise<number>;
  /** What every request carries. Asks for the token: a fresh one after a 401. */
  headers(): Promise<Record<string, string>>;
  /** The token that was sent last. */
  token(): string;
  /** The next attempt asks for a fresh token. Reports false when the one that was refused was already fresh. */
  stale(): boolean;
  /** The token was taken. */
  good(): void;
  /** Ends the waits of calls: what is not answered by now fails. With false, calls are repeated again. */
  close(over?: boolean): void;
}

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below the hub's URL, escaped. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bounds one attempt, in milliseconds. */
  readonly patience?: number;
  /** Outlives the page. */
  readonly keepalive?: boolean;
  /** Carries no identity: then it needs no preflight. */
  readonly bare?: boolean;
}

export function createCalls(platform: Platform, url: string, credentials: Credentials, source: TokenSource | undefined): Calls {
  const { clock } = platform;
  const waiting = new Set<() => void>();
  let closed = false;
  let token = "";
  let fresh = false; // the next token is to be a fresh one
  let refused = false; // a fresh one was refused

  const headers = async (): Promise<Record<string, string>> => {
    if (source) {
      refused = fresh;
      fresh = false;
      token = (await source({ fresh: refused })) ?? "";
    }
    return { "Roxy-Client": CLIENT, ...(token && { Authorization: `Bearer ${token}` }) };
  };

  const good = (): void => {
    refused = false;
  };

  const stale = (): boolean => {
    fresh = !!source && !refused;
    return fresh;
  };

  const attempt = async ({ method, path, body, headers: more, patience = PATIENCE, keepalive, bare }: Call): Promise<unknown> => {
    const all: Record<string, string> = bare ? {} : { ...(await headers()), ...more };
    if (body !== undefined) all["Content-Type"] = "application/json";
    const abort = platform.abort();
    const timer = clock.set(() => abort.abort(), patience);
    try {
      const answer = await ask(platform, url + path, {
        method,
        headers: all,
        body: JSON.stringify(body),
        signal: abort.signal,
        credentials: bare ? "omit" : credentials,
        keepalive,
      });
      const text = await answer.text();
      if (!bare) good();
      return text ? JSON.parse(text) : undefined;
    } catch (error) {
      throw unreachable(error);
    } finally {
      clock.clear(timer);
    }
  };

  /** Waits, and reports whether the client was closed meanwhile. */
  const wait = (ms: number): Promise<boolean> =>
    new Promise((done) => {
      const wake = (): void => {
        waiting.delete(wake);
        clock.clear(timer);
        done(closed);
      };
      const timer = clock.set(wake, ms);
      waiting.add(wake);
    });

  const call = async (given: Call, once = false): Promise<unknown> => {
    const request = { ...given, headers: { traceparent: traceparent(platform), ...given.headers } };
    for (let failures = 0; ; failures++) {
      try {
        return await attempt(request);
      } catch (error) {
        const { status, passing, retryAfter } = error as RoxyProblem;
        if (status === 401 && failures === 0 && stale()) continue;
        if (!passing || once || failures > REPEATS || closed || (await wait(delay(platform.random(), failures, retryAfter)))) throw error;
      }
    }
  };

  return {
    url,
    credentials,
    tokened: !!source,
    call,
    async ping() {
      const { time } = (await call({ method: "GET", path: "/v1/ping", bare: true, patience: 5_000 }, true)) as { time: string };
      return Date.parse(time);
    },
    headers,
    token: () => token,
    stale,
    good,
    close(over = true) {
      closed = over;
      for (const wake of waiting) wake();
    },
  };
}

/** Returns a W3C traceparent of a new trace. */
export function traceparent(platform: Platform): string {
  return `00-${platform.hex(16)}-${platform.hex(8)}-01`;
}
