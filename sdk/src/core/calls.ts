import { jitter, LONGEST } from "./attempts.ts";
import type { Answer, Credentials, Platform } from "./platform.ts";
import { problemOf, RoxyProblem } from "./problem.ts";
import { unreachable } from "./sse.ts";

/** Which client this is, in the header Roxy-Client: the hub then refuses with a status and not with a stream of one goodbye. */
const CLIENT = "js/0.0.0";

/** How often a call that may be repeated is tried: half a minute on average. */
const TRIES = 8;
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
  /** Makes a call until the hub has answered. With `once`, one attempt: nothing protects the call from doubling. */
  call(request: Call, once?: boolean): Promise<unknown>;
  /** What every request carries. Asks for the token: a fresh one after a 401. */
  headers(): Promise<Record<string, string>>;
  /** The token that was sent last. */
  token(): string;
  tokened(): boolean;
  /** The next attempt asks for a fresh token. Reports false when the one that was refused was already fresh. */
  stale(): boolean;
  /** The token was taken. */
  good(): void;
  ticket(): Promise<string>;
  /** Ends the waits of calls: what is not answered by now fails. */
  close(): void;
  /** Calls are repeated again. */
  reopen(): void;
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
  const closing = new Set<() => void>();
  let closed = false;
  let token = "";
  let fresh = false; // the next token is to be a fresh one
  let refused = false; // a fresh one was refused

  const headers = async (): Promise<Record<string, string>> => {
    const all: Record<string, string> = { "Roxy-Client": CLIENT };
    if (source) {
      const why = { fresh };
      fresh = false;
      refused = why.fresh;
      token = (await source(why)) ?? "";
      if (token) all["Authorization"] = `Bearer ${token}`;
    }
    return all;
  };

  const stale = (): boolean => {
    if (!source || refused) return false;
    fresh = true;
    return true;
  };

  const attempt = async (request: Call): Promise<unknown> => {
    const all: Record<string, string> = request.bare ? {} : { ...(await headers()), ...request.headers };
    if (request.body !== undefined) all["Content-Type"] = "application/json";
    const abort = platform.abort();
    const timer = clock.set(() => abort.abort(), request.patience ?? PATIENCE);
    try {
      const answer: Answer = await platform.fetch!(url + request.path, {
        method: request.method,
        headers: all,
        signal: abort.signal,
        credentials: request.bare ? "omit" : credentials,
        cache: "no-store",
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.keepalive ? { keepalive: true } : {}),
      });
      const text = await answer.text();
      if (answer.status < 200 || answer.status > 299) throw problemOf(answer.status, text, answer.headers.get("Retry-After"));
      if (!request.bare) refused = false;
      return text === "" ? undefined : JSON.parse(text);
    } catch (error) {
      throw unreachable(error);
    } finally {
      clock.clear(timer);
    }
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((done) => {
      const wake = (): void => {
        closing.delete(wake);
        clock.clear(timer);
        done();
      };
      const timer = clock.set(wake, ms);
      closing.add(wake);
    });

  const call = async (request: Call, once = false): Promise<unknown> => {
    for (let failures = 0; ; failures++) {
      try {
        return await attempt(request);
      } catch (error) {
        const problem = error as RoxyProblem;
        const again = problem.status === 401 ? failures === 0 && stale() : problem.passing && !once;
        if (!again || failures + 1 >= TRIES || closed) throw problem;
        if (problem.status !== 401) {
          await pause(Math.max(jitter(platform.random(), failures, 500, 30_000), Math.min(problem.retryAfter, LONGEST)));
        }
        if (closed) throw problem;
      }
    }
  };

  return {
    url,
    credentials,
    call,
    headers,
    token: () => token,
    tokened: () => source !== undefined,
    stale,
    good() {
      refused = false;
    },
    async ticket() {
      const answer = (await call({ method: "POST", path: "/v1/tickets" }, true)) as { ticket: string };
      return answer.ticket;
    },
    close() {
      closed = true;
      for (const wake of closing) wake();
    },
    reopen() {
      closed = false;
    },
  };
}

/** Returns a W3C traceparent of a new trace. */
export function traceparent(platform: Platform): string {
  return `00-${platform.hex(16)}-${platform.hex(8)}-01`;
}
