import type { TokenSource } from "../core/calls.ts";
import { RoxyProblem } from "../core/problem.ts";
import { bodyOf } from "./body.ts";
import { hubOf } from "./calls.ts";
import { problemResponse } from "./problem.ts";

/** To which hub a request is handed on, and as whom. */
export interface ProxyOptions {
  /** The hub's address as this server reaches it, absolute. */
  readonly url: string;
  /**
   * The token of whoever sent the request. The server holds it and the browser never sees it; "" lets the hub refuse who is not
   * signed in, and a function is asked again, with `fresh`, when the hub refuses what it gave. The browser may read and do all that the token may: one of the server's own would make every
   * visitor the same user.
   */
  readonly token: string | TokenSource;
}

/** How long the hub may take for the head of its answer, in milliseconds: three times what it takes before it gives up. */
const PATIENCE = 15_000;
/** Bounds a body, in bytes, as the hub does. */
const LARGEST = 8 << 20;

/**
 * What a browser says to the hub. Its cookies are the app's, and who it is the server knows. The addresses matter to a hub whose
 * `trustedProxies` name this server: to any other, all visitors together have the limits of one address.
 */
const UP = [
  ...["accept", "content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id", "traceparent", "x-forwarded-for"],
  ...["roxy-base", "roxy-client", "roxy-correlation", "roxy-device", "roxy-seq", "roxy-type"],
];

/** What the hub says to a browser. The headers of a connection, and a body's length and encoding, are those of this server's own. */
const DOWN = ["cache-control", "content-type", "etag", "ratelimit", "ratelimit-policy", "retry-after", "x-accel-buffering"];

/** The calls that pages make; the `/v1/` is the first that one of them follows, wherever the app has put them. */
const CALLS = /\/v1\/(ping|events|events\/[^/]+\/receipts|entities|entities\/.+|mutations|mutations\/[^/]+|acks|devices|devices\/[^/]+|presence)$/;

/**
 * Answers a page's `GET …/v1/stream` with the hub's stream, event by event, as a route handler of Next.js or of an edge runtime:
 *
 *     export const GET = async (request: Request) => proxyStream(request, { url: HUB, token: await tokenOf(request) });
 *
 * The query and Last-Event-ID go up with the token; when the browser goes, the hub's stream ends, and when the hub goes, the browser's
 * does. Refusals are problem+json, this server's own too, but for a native EventSource, which would never come back: while the hub is
 * away it gets a goodbye that says when to, as from the hub itself.
 */
export async function proxyStream(request: Request, options: ProxyOptions): Promise<Response> {
  try {
    if (request.method !== "GET") throw new RoxyProblem("method-not-allowed", 405, `${request.method} of a stream: want GET`);
    const answer = await forward(request, options, "/v1/stream");
    return answer.status === 200 && answer.body ? new Response(untilItBreaks(answer.body), answer) : answer;
  } catch (error) {
    const away = error instanceof RoxyProblem && error.code === "not-ready";
    return away && !request.headers.has("roxy-client") ? goodbye(error.retryAfter) : problemResponse(error);
  }
}

/**
 * Answers the other calls that a page's client makes, such as `POST …/v1/mutations`: publishing, entities, mutations, acknowledgements,
 * devices, presence and `ping`. Whatever else the hub has is 404 here.
 */
export async function proxyCall(request: Request, options: ProxyOptions): Promise<Response> {
  try {
    const { pathname } = new URL(request.url);
    const path = CALLS.exec(pathname)?.[0];
    if (path === undefined) throw new RoxyProblem("not-found", 404, `no call of a page: ${pathname}`);
    return await forward(request, options, path);
  } catch (error) {
    return problemResponse(error);
  }
}

/**
 * Hands a request on to a path of the hub until the hub's answer begins; its body then comes as it is sent. Throws a RoxyProblem for
 * what the hub was not asked or has not answered: `not-ready` when it is away.
 */
async function forward(request: Request, options: ProxyOptions, path: string): Promise<Response> {
  const hub = hubOf(options);
  // Who it is, a cookie of the app has told, and browsers send those along for other sites' pages too unless they are SameSite.
  if (request.headers.get("sec-fetch-site") === "cross-site") throw new RoxyProblem("forbidden", 403, "Sec-Fetch-Site: not for pages of other sites");
  const query = new URL(request.url).searchParams;
  query.delete("ticket"); // another identity
  const asked = query.toString();
  const body = request.method === "GET" ? undefined : await bodyOf(request, LARGEST);
  const headers = new Headers({ "Accept-Encoding": "identity" }); // the way to the browser has an encoding of its own
  for (const name of UP) copy(name, request.headers, headers);

  const over = new AbortController();
  const end = (): void => over.abort();
  request.signal.addEventListener("abort", end);
  if (request.signal.aborted) end();
  const attempt = async (fresh: boolean): Promise<Response> => {
    const token = await hub.token({ fresh });
    if (token) headers.set("Authorization", `Bearer ${token}`);
    else headers.delete("Authorization");
    const timer = setTimeout(end, PATIENCE);
    try {
      return await fetch(`${hub.url}${path}${asked && `?${asked}`}`, {
        method: request.method,
        headers,
        signal: over.signal,
        redirect: "manual", // the token is for the hub alone
        cache: "no-store",
        ...(body && body.length > 0 && { body }),
      });
    } catch {
      throw away("the hub cannot be reached"); // why, is not for a browser to know: it may name hosts
    } finally {
      clearTimeout(timer);
    }
  };

  let answer = await attempt(false);
  if (answer.status === 401 && typeof options.token === "function") {
    await answer.body?.cancel();
    answer = await attempt(true);
  }
  const { status } = answer;
  if (status !== 304 && (status < 200 || (status >= 300 && status < 400))) throw away("what is at the hub's address is none");
  const told = new Headers();
  for (const name of DOWN) copy(name, answer.headers, told);
  return new Response(answer.body, { status, headers: told });
}

function copy(name: string, from: Headers, to: Headers): void {
  const value = from.get(name);
  if (value !== null) to.set(name, value);
}

/** Clients wait at least a second, and on their own account longer each time. */
function away(detail: string): RoxyProblem {
  return new RoxyProblem("not-ready", 503, detail, 1000);
}

/**
 * Returns a body that ends where stream breaks: browsers go on from the end of a stream, and here it is no error. Nothing is read
 * ahead of the browser, so that the hub knows who is slow.
 */
function untilItBreaks(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = stream.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(browser) {
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
        if (done || !value) browser.close();
        else browser.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Returns a stream that only says when to come back, of up to four times as long, so that not all come back together. */
function goodbye(after: number): Response {
  const retry = Math.round(after * (1 + 3 * Math.random()));
  const text = `retry: ${retry}\nevent: roxy:bye\ndata: ${JSON.stringify({ reason: "overload", retry })}\n\n`;
  return new Response(text, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform" } });
}
