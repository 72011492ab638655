/** What a page without a build imports: the SDK but its subpaths for React, servers and tests. A hub serves it as /v1/sdk.js. */
export * from "./index.ts";
export { eventSource } from "./eventsource.ts";
export { webSocket } from "./ws.ts";
export { createEntities } from "./entities.ts";
export { tabs } from "./tabs.ts";
export { createStore } from "./store.ts";
export { createOutbox, indexedDBStorage, maxWaiting, memoryStorage, newId, OutboxFull, transportOver, uuidsV7 } from "./outbox.ts";
