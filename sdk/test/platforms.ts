import type { EventSourceLike, Platform, WebSocketLike } from "../src/core/platform.ts";

/**
 * A platform whose streams, and the tickets for them, say in their URL when they were begun, by the platform's own clock: the
 * fault proxy logs that and takes it away. So a law of attempts holds what left the client, however busy the machine is.
 */
export function stamped(platform: Platform): Platform {
  const stamp = (url: string): string => {
    const { pathname } = new URL(url);
    if (!/\/v1\/(stream|ws|tickets|ping)$/.test(pathname)) return url;
    return `${url}${url.includes("?") ? "&" : "?"}begun=${platform.clock.now()}`;
  };
  const { fetch } = platform;
  const eventSource = platform.eventSource ?? ((url, init) => new EventSource(url, init) as unknown as EventSourceLike);
  const webSocket = platform.webSocket ?? ((url, protocol) => new WebSocket(url, protocol) as unknown as WebSocketLike);
  return {
    ...platform,
    fetch: fetch && ((url, init) => fetch(stamp(url), init)),
    eventSource: (url, init) => eventSource(stamp(url), init),
    webSocket: (url, protocol) => webSocket(stamp(url), protocol),
  };
}

/** A platform whose fetch does not stream, as in React Native: what comes behind it on the ladder is left. */
export function unstreamed(platform: Platform): Platform {
  const { fetch } = platform;
  return {
    ...platform,
    fetch: async (url, init) => {
      if (!url.includes("/v1/stream")) return fetch!(url, init);
      return { status: 200, headers: { get: () => "text/event-stream" }, body: null, text: async () => "" };
    },
  };
}
