import type { Clock } from "./core/clock.ts";
import type { EventSourceLike, Fetch, Platform, Signal, WebSocketLike } from "./core/platform.ts";

/** Somewhat less than a timer of browsers takes; a longer one would fire at once. */
const LONGEST_TIMER = 2_000_000_000;

/** What tells of the page and its network; `pageshow` comes from the cache of pages, where iOS closes streams without a word. */
const TELLING = ["online", "offline", "visibilitychange", "pagehide", "pageshow", "resume"];

/**
 * The platform of browsers, workers and Node. The globals are read when they are used: to import this, or to make a client
 * on a server, touches nothing.
 */
export function globalPlatform(): Platform {
  // Any of them may be missing somewhere.
  const here: Partial<typeof globalThis> = globalThis;
  const clock: Clock = {
    now: () => performance.now(),
    set: (callback, ms) => setTimeout(callback, Math.min(ms, LONGEST_TIMER)),
    clear: (timer) => timer && clearTimeout(timer as ReturnType<typeof setTimeout>),
  };
  return {
    clock,
    random: Math.random,
    hex: (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => (byte + 256).toString(16).slice(1)).join(""),
    fetch: here.fetch && (((url, init) => fetch(url, init as RequestInit)) satisfies Fetch),
    eventSource: here.EventSource && ((url, init) => new EventSource(url, init) as unknown as EventSourceLike),
    webSocket: here.WebSocket && ((url, protocol) => new WebSocket(url, protocol) as unknown as WebSocketLike),
    absolute: (url) => (here.location ? new URL(url, location.href).href : url),
    abort: () => new AbortController(),
    decoder: () => new TextDecoder(),
    base64: (text) => atob(text),
    hidden: () => !!here.document?.hidden,
    offline: () => here.navigator?.onLine === false,
    report: (error) => (here.reportError ?? console.error)(error),
    watch(listener) {
      const hearing = new AbortController();
      const hear = ({ type }: Event): void =>
        listener(type === "visibilitychange" ? document.visibilityState : (type as Signal));
      for (const type of TELLING) here.addEventListener?.(type, hear, { signal: hearing.signal });
      return () => hearing.abort();
    },
  };
}
