/** The stream over WebSocket, for networks that hold the others back: `createClient({ url, transports: [webSocket] })`. */
export { webSocket } from "./core/websocket.ts";
export type { Transport } from "./core/transport.ts";
