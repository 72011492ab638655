import type { Clock } from "./core/clock.ts";
import type { EventSourceLike, Fetch, Platform, Signal, WebSocketLike } from "./core/platform.ts";

/** What a timer of browsers takes; a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * The platform of browsers, workers and Node. The globals are read when they are used: to import this, or to make a client
 * on a server, touches nothing.
 */
export function globalPlatform(): Platform {
  const clock: Clock = {
    now: () => performance.now(),
    set: (callback, ms) => setTimeout(callback, Math.min(ms, LONGEST_TIMER)),
    clear: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  };
  const page = (): Document | undefined => (typeof document === "undefined" ? undefined : document);
  return {
    clock,
    random: () => Math.random(),
    hex: (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    ...(typeof fetch === "undefined" ? {} : { fetch: ((url, init) => fetch(url, init as RequestInit)) satisfies Fetch }),
    ...(typeof EventSource === "undefined" ? {} : { eventSource: (url, init) => new EventSource(url, init) as unknown as EventSourceLike }),
    ...(typeof WebSocket === "undefined" ? {} : { webSocket: (url, protocol) => new WebSocket(url, protocol) as unknown as WebSocketLike }),
    absolute: (url) => (typeof location === "undefined" ? url : new URL(url, location.href).href),
    abort: () => new AbortController(),
    decoder: () => new TextDecoder(),
    base64: (text) => atob(text),
    hidden: () => page()?.visibilityState === "hidden",
    offline: () => typeof navigator !== "undefined" && navigator.onLine === false,
    report: (error) => (typeof reportError === "function" ? reportError(error) : console.error(error)),
    watch(listener) {
      if (typeof addEventListener !== "function") return () => {};
      const seen = (): void => listener(page()?.visibilityState === "hidden" ? "hidden" : "visible");
      const online = (): void => listener("online");
      const offline = (): void => listener("offline");
      // From the cache of pages, where iOS closes streams without a word; other shows are the page's first.
      const shown = (event: Event): void => {
        if ((event as PageTransitionEvent).persisted) listener("resume");
      };
      const resumed = (): void => listener("resume" satisfies Signal);
      addEventListener("online", online);
      addEventListener("offline", offline);
      addEventListener("pageshow", shown);
      page()?.addEventListener("visibilitychange", seen);
      page()?.addEventListener("resume", resumed);
      return () => {
        removeEventListener("online", online);
        removeEventListener("offline", offline);
        removeEventListener("pageshow", shown);
        page()?.removeEventListener("visibilitychange", seen);
        page()?.removeEventListener("resume", resumed);
      };
    },
  };
}
