import { globalPlatform } from "../browser.ts";
import { createCalls, traceparent, type Call, type TokenSource } from "../core/calls.ts";
import type { Platform } from "../core/platform.ts";

/** What any call to the hub may be given. */
export interface CallOptions {
  /** Ends the call, its waits and repetitions too. What it was about may have happened all the same. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent of the request that this call serves; without one a trace begins here. */
  readonly traceparent?: string;
}

/** Which hub, and who calls. */
export interface Hub {
  /** The hub's public address, absolute, without a slash at the end. */
  readonly url: string;
  readonly token: TokenSource;
}

/** Returns the hub at options.url; an address that is none is a TypeError. */
export function hubOf(options: { readonly url: string; readonly token: string | TokenSource }): Hub {
  const { url, token } = options;
  if (!/^https?:\/\/[^/?#]/i.test(url)) throw new TypeError(`url ${JSON.stringify(url)}: want the hub's address, as in https://hub.example`);
  return { url: url.replace(/\/+$/, ""), token: typeof token === "string" ? () => token : token };
}

/**
 * Makes a call until the hub has answered, with the token source asked for a fresh one after a 401; with `once`, one attempt.
 * Each call is on its own: a server makes many at a time, and one's refused token says nothing about another's.
 */
export async function callHub(hub: Hub, call: Call, { signal, traceparent: given }: CallOptions = {}, once = false): Promise<unknown> {
  signal?.throwIfAborted();
  let attempt: AbortController | undefined;
  const platform: Platform = {
    ...globalPlatform(),
    // Some edge runtimes throw at `credentials`, which mean nothing where there are no cookies.
    fetch: (url, { credentials: _, ...init }) => fetch(url, init as RequestInit),
    abort: () => (attempt = new AbortController()),
  };
  const calls = createCalls(platform, hub.url, "omit", hub.token);
  const stop = (): void => {
    calls.close();
    attempt?.abort();
  };
  signal?.addEventListener("abort", stop);
  try {
    return await calls.call({ ...call, headers: { traceparent: given ?? traceparent(platform), ...call.headers } }, once);
  } catch (error) {
    signal?.throwIfAborted(); // the caller knows its own reason
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Returns a topic as a part of a path. */
export function pathOf(topic: string): string {
  return topic.split("/").map(encodeURIComponent).join("/");
}
