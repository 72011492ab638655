// The hub's end of fetch: requests read, answers with a body that streams.
import type { Clock } from "../core/clock.ts";
import type { Answer } from "../core/platform.ts";
import { createDecoder } from "./bytes.ts";
import { answerProblem, readQuery, routeOf, type Answered, type Request } from "./exchange.ts";
import type { FaultPlan } from "./faults.ts";
import { createPipe, networkError, type Pipe, type PipeReader } from "./pipe.ts";
import { refusal } from "./problem.ts";
import { RoxyProblem } from "../core/problem.ts";

/** What fetch takes: the members that the hub looks at. */
export interface TestFetchInit {
  readonly method?: string;
  readonly headers?: Iterable<readonly [string, string]> | Readonly<Record<string, string>>;
  /** Text: the hub takes JSON alone. */
  readonly body?: unknown;
  /** An AbortSignal. */
  readonly signal?: unknown;
  readonly credentials?: string;
}

/** An answer: what of a Response the SDK, and most apps, read. */
export interface TestAnswer extends Answer {
  readonly ok: boolean;
  readonly headers: { get(name: string): string | null; has(name: string): boolean };
  readonly body: { getReader(): PipeReader };
  json(): Promise<unknown>;
}

/** Answers like the global fetch, and as the hub does. */
export type TestFetch = (url: string | { readonly href: string } | { readonly url: string }, init?: TestFetchInit) => Promise<TestAnswer>;

export interface FetchParts {
  readonly url: string;
  readonly clock: Clock;
  readonly plan: FaultPlan;
  answer(request: Request): Answered;
}

/** Returns fetch, and what breaks the requests that are under way. */
export function createFetch({ url: base, clock, plan, answer }: FetchParts): { fetch: TestFetch; cut(): void } {
  const underWay = new Set<() => void>();

  /** Waits on the hub's clock, unless the connection breaks meanwhile. */
  const wait = (ms: number, signal: AbortSignalLike | undefined): Promise<void> =>
    new Promise((done, fail) => {
      const end = (): void => {
        clock.clear(timer);
        underWay.delete(broken);
      };
      const broken = (): void => {
        end();
        fail(signal?.aborted ? aborted() : networkError());
      };
      const timer = clock.set(() => {
        end();
        done();
      }, ms);
      underWay.add(broken);
      signal?.addEventListener("abort", broken);
    });

  const fetch: TestFetch = async (target, init = {}) => {
    const signal = isSignal(init.signal) ? init.signal : undefined;
    if (signal?.aborted) throw aborted();
    await Promise.resolve(); // no answer is there before the caller goes on
    const url = typeof target === "string" ? target : "href" in target ? target.href : target.url;
    const place = below(url, base);
    const fate = plan.fateOf(place ? routeOf(place.path) : "");
    if (fate.lost) throw networkError();
    const answered = fate.answer ?? answerTo(url, place, init);
    try {
      if (fate.delay > 0) await wait(fate.delay, signal);
      if (fate.replyLost) throw networkError();
      if (signal?.aborted) throw aborted();
    } catch (error) {
      answered.stream?.cut();
      throw error;
    }
    return spelled(answered, signal);
  };

  const answerTo = (url: string, place: ReturnType<typeof below>, init: TestFetchInit): Answered => {
    try {
      if (!place) throw refusal("not-found", `the test hub is at ${base}, and nothing is at ${url}`);
      return answer(readRequest(url, place, init));
    } catch (error) {
      if (error instanceof RoxyProblem) return answerProblem(error, false);
      throw error;
    }
  };

  /** Gives an answer's body the way to its reader. */
  const spelled = ({ status, headers, body, stream }: Answered, signal: AbortSignalLike | undefined): TestAnswer => {
    const pipe: Pipe = stream?.pipe ?? createPipe(() => {});
    if (!stream) {
      pipe.write(body);
      pipe.end();
    } else if (plan.buffering) pipe.hold();
    signal?.addEventListener("abort", () => void pipe.reader.cancel());
    const text = async (): Promise<string> => {
      const decoder = createDecoder();
      let all = "";
      for (;;) {
        const { done, value } = await pipe.reader.read();
        if (done || !value) return all;
        all += decoder.decode(value);
      }
    };
    return {
      status,
      ok: status >= 200 && status < 300,
      headers: { get: (name) => headers[name.toLowerCase()] ?? null, has: (name) => Object.hasOwn(headers, name.toLowerCase()) },
      body: { getReader: () => pipe.reader },
      text,
      json: async () => JSON.parse(await text()) as unknown,
    };
  };

  return {
    fetch,
    cut() {
      for (const broken of [...underWay]) broken();
    },
  };
}

interface AbortSignalLike {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
}

function isSignal(value: unknown): value is AbortSignalLike {
  return typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value;
}

/** How a fetch fails that its caller has given up. */
function aborted(): Error {
  const error = new Error("the request was given up");
  error.name = "AbortError";
  return error;
}

/** Returns the path and query of a URL, below the hub's own; undefined for what lies elsewhere. Dots are resolved, as fetch does. */
function below(url: string, base: string): { path: string; query: string } | undefined {
  const own = new URL(`${base}/`);
  const { origin, pathname, search } = new URL(url, own);
  if (origin !== own.origin || !pathname.startsWith(own.pathname)) return undefined;
  return { path: pathname.slice(own.pathname.length - 1), query: search.slice(1) };
}

function readRequest(url: string, { path, query }: { path: string; query: string }, init: TestFetchInit): Request {
  const { method = "GET", headers = {}, body, credentials = "same-origin" } = init;
  const pairs = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  if (body !== undefined && body !== null && typeof body !== "string") throw refusal("not-supported", "the test hub takes bodies that are strings");
  return {
    method: method.toUpperCase(),
    path,
    query: readQuery(query),
    headers: new Map(pairs.map(([name, value]) => [name.toLowerCase(), value])),
    body: body ?? "",
    cookie: credentials === "include" || (credentials === "same-origin" && url.startsWith("/")),
  };
}
