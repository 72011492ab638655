/** The client of a Roxy hub. The wire it speaks is docs/protocol.md. */
import { globalPlatform } from "./browser.ts";
import { createCore, type Client, type ClientOptions } from "./core/client.ts";
import type { Platform } from "./core/platform.ts";

/**
 * Returns a client of the hub at options.url. It does not connect: connect, subscribe and retain do. Events are typed by
 * what `roxy generate typescript` writes: `createClient<RoxyEvents>({ url })`.
 */
export function createClient<Events extends object = Record<string, unknown>>(options: ClientOptions & { readonly platform?: Platform }): Client<Events> {
  return createCore<Events>(options.platform ?? globalPlatform(), options);
}

export { globalPlatform } from "./browser.ts";
export { RoxyProblem } from "./core/problem.ts";
export { matches } from "./core/topic.ts";
export type { Backoff } from "./core/attempts.ts";
export type { Call, TokenSource } from "./core/calls.ts";
export type { Client, ClientOptions, Continuity, Inspection, Note, Publication, PublicationOf, Published, Sync } from "./core/client.ts";
export type { Clock, Timer } from "./core/clock.ts";
export type { State } from "./core/connection.ts";
export type * from "./core/messages.ts";
export type { Observable } from "./core/observable.ts";
export type { Platform, Signal } from "./core/platform.ts";
export type { Level, Quality, Reason } from "./core/quality.ts";

export type { Share, Transport } from "./core/transport.ts";
