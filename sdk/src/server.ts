/** A Roxy hub from a server: publishing, pages rendered with a cursor, streams handed on. For Node and edge runtimes. */
export { createPublisher } from "./server/publisher.ts";
export type { Publisher, PublisherOptions, SendOptions, Ticket } from "./server/publisher.ts";
export type { CallOptions } from "./server/calls.ts";
export type { EmitOptions, Priority } from "./server/emit.ts";
export type { WorkOptions } from "./server/keys.ts";
export type { Guarded, Mutated, MutationOf } from "./server/mutations.ts";
export type { Found, FoundAt, Presence, Receipts, Snapshot } from "./server/reads.ts";
export { proxyCall, proxyStream } from "./server/proxy.ts";
export type { ProxyOptions } from "./server/proxy.ts";
export { problemResponse } from "./server/problem.ts";
export { verifyWebhook } from "./server/webhook.ts";
export type { DeadLetter, WebhookMessage } from "./server/webhook.ts";
export { RoxyProblem } from "./core/problem.ts";
export type { TokenSource } from "./core/calls.ts";
export type { Publication, PublicationOf, Published } from "./core/client.ts";
export type { AnyEntities, EntityAt, PatchOf, TopicOf, TopicsOf } from "./entities.ts";
