import { createWebSocketTransport } from "./core/websocket.ts";
import type { WebSocketLike } from "./core/platform.ts";
import type { Transport } from "./core/transport.ts";

/** The stream over WebSocket, for networks that hold the others back: `createClient({ url, transports: [webSocket] })`. */
export const webSocket: Transport = /* @__PURE__ */ createWebSocketTransport(
  () => typeof WebSocket === "undefined" ? undefined : (url, protocol) => new WebSocket(url, protocol) as unknown as WebSocketLike,
  (url) => (typeof location === "undefined" ? url : new URL(url, location.href).href),
);
export type { Transport } from "./core/transport.ts";
