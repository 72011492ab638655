/** A hub in memory for tests of apps. */
export { createTestHub } from "./testing/hub.ts";
export type { HubConnection, HubEvent, TestHub, TestHubOptions, TestMutation } from "./testing/hub.ts";
export { createManualClock } from "./testing/clock.ts";
export type { ManualClock } from "./testing/clock.ts";
export type { Fault, FaultRoute, Faults, FaultScope, FaultStep } from "./testing/faults.ts";
export type { TestAnswer, TestFetch, TestFetchInit } from "./testing/fetch.ts";
export type { Claims, Grant, Policy } from "./testing/identity.ts";
export type { CriticalTold } from "./testing/critical.ts";
export type { EntityTold } from "./testing/entities.ts";
export type { EntityChange } from "./testing/log.ts";
export type { MutationResult } from "./testing/mutations.ts";
export type { PublishedEvent } from "./testing/publish.ts";
export type { Code } from "./testing/problem.ts";
