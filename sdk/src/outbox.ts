/** Mutations on their way to a Roxy hub: stored before they are sent, sent in order, over reloads and cuts. */
import { uuidsV7 } from "./outbox/ids.ts";

/** Makes ids with the platform's random numbers. */
export const newId: () => string = uuidsV7(
  () => Date.now(),
  (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
);

export { createOutbox, maxWaiting } from "./outbox/outbox.ts";
export { OutboxFull } from "./outbox/api.ts";
export type { Draft, Leadership, Options as OutboxOptions, Outbox, Pending, Settlement, Signal } from "./outbox/api.ts";
export { transportOver } from "./outbox/client.ts";
export { indexedDBStorage } from "./outbox/indexeddb.ts";
export type { Databases } from "./outbox/indexeddb.ts";
export { memoryStorage } from "./outbox/storage.ts";
export type { Entry, State as EntryState, Storage } from "./outbox/storage.ts";
export type { Conflict, Decision } from "./outbox/conflict.ts";
export { uuidsV7 } from "./outbox/ids.ts";
export type { Entity, Failure, Guard, Mutation, Op, Problem, Result, Transport } from "./outbox/wire.ts";
