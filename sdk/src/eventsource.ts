/** The stream over a native EventSource, for places whose fetch does not stream: `createClient({ url, transports: [eventSource] })`. */
export { eventSource } from "./core/eventsource.ts";
export type { Transport } from "./core/transport.ts";
