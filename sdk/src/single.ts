/** All of the SDK but its subpaths for React, servers and tests, in one file: what a hub serves as /v1/sdk.js. */
export * from "./index.ts";
export { eventSource } from "./eventsource.ts";
export { webSocket } from "./ws.ts";
export * from "./store.ts";
export { createOutbox, indexedDBStorage, maxWaiting, memoryStorage, newId, OutboxFull, transportOver } from "./outbox.ts";
