import { createEventSourceTransport } from "./core/eventsource.ts";
import type { EventSourceLike } from "./core/platform.ts";
import type { Transport } from "./core/transport.ts";

/** The stream over a native EventSource, for places whose fetch does not stream: `createClient({ url, transports: [eventSource] })`. */
export const eventSource: Transport = /* @__PURE__ */ createEventSourceTransport(() =>
  typeof EventSource === "undefined" ? undefined : (url, init) => new EventSource(url, init) as unknown as EventSourceLike,
);
export type { Transport } from "./core/transport.ts";
