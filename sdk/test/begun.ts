import type { Platform } from "../src/core/platform.ts";

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
  const { fetch, eventSource, webSocket } = platform;
  return {
    ...platform,
    ...(fetch && { fetch: (url, init) => fetch(stamp(url), init) }),
    ...(eventSource && { eventSource: (url, init) => eventSource(stamp(url), init) }),
    ...(webSocket && { webSocket: (url, protocol) => webSocket(stamp(url), protocol) }),
  };
}
