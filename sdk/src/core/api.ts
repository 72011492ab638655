// What an app sees of a client.
import type { Backoff } from "./attempts.ts";
import type { Call, TokenSource } from "./calls.ts";
import type { State } from "./connection.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import type { Observable } from "./observable.ts";
import type { Credentials, Platform } from "./platform.ts";
import type { RoxyProblem } from "./problem.ts";
import type { Quality } from "./quality.ts";
import type { Share, Transport } from "./transport.ts";

/** Whether something may be missing: `reset` until what was missed is fetched anew, `catching-up` until `roxy:live`. */
export type Continuity = "ok" | "catching-up" | "reset";

/** What of the app's own writes the hub has not taken yet. */
export type Sync = "synced" | "pending" | "conflict" | "parked";

/** How a client talks to its hub. Only url is required. */
export interface ClientOptions {
  /** The hub's public address; a path is kept as a prefix, and "" is the page's own origin. */
  readonly url: string;
  /** A token, or who gives one before each attempt. Without one the cookie goes along. */
  readonly token?: string | TokenSource;
  /** Whether the cookie goes along; `include` without a token, `omit` with one. */
  readonly credentials?: Credentials;
  /** Patterns to subscribe to for the client's whole life; others come and go with their subscriptions. */
  readonly topics?: readonly string[];
  /** Only these event types. */
  readonly types?: readonly string[];
  /** The name of this device, which has a mailbox and confirms critical events. */
  readonly device?: string;
  /** Critical events are confirmed when all their handlers returned. False leaves it to confirm(). Default true. */
  readonly confirm?: boolean;
  /** Begin with the entities as they are. */
  readonly snapshot?: boolean;
  /** A cursor to begin behind, such as one of a page that was rendered on the server; or `earliest`. */
  readonly after?: string;
  /** How often the hub says that it is there, such as `15s`. */
  readonly heartbeat?: string;
  readonly backoff?: Backoff;
  /** Further ways to hold a stream, tried in order behind fetch: eventSource of `@roxy/sdk/eventsource`, webSocket of `@roxy/sdk/ws`. */
  readonly transports?: readonly Transport[];
  /** Holds one stream together with other clients: `share: tabs({ name })` of `@roxy/sdk/tabs`. */
  readonly share?: Share;
  /** Ends the stream when the page was hidden for so many milliseconds, until it is visible. Without it a hidden page goes on hearing. */
  readonly hiddenAfter?: number;
  /** Hears what handlers throw, and what the hub refuses in the background. */
  readonly onError?: (error: unknown) => void;
}

/** What is published (docs/protocol.md §3). */
export interface Publication<Type extends string = string, Data = unknown> {
  readonly topic: string;
  readonly type?: Type;
  readonly data?: Data;
  readonly to?: { readonly roles?: readonly string[]; readonly users?: readonly string[] };
  /** The idempotency key; one is made when it is left out, so that a publish is safely repeated. */
  readonly id?: string;
  readonly ttl?: string;
  readonly ack?: { readonly by: "any" | "user" | "device"; readonly within?: string; readonly attempts?: number };
  readonly correlation?: string;
  readonly ephemeral?: boolean;
  readonly except?: string;
  readonly urgent?: boolean;
}

/** A publication whose data fits its type; without a type it is a `message`. */
export type PublicationOf<Events> =
  | { [Type in keyof Events & string]: Publication<Type, Events[Type]> & { readonly type: Type } }[keyof Events & string]
  | Publication<"message", "message" extends keyof Events ? Events["message"] : unknown>;

/** The hub's answer for one event. An ephemeral one has no place in the log. */
export interface Published {
  readonly id?: string;
  readonly offset?: number;
  readonly cursor?: string;
  readonly duplicate?: boolean;
  readonly ephemeral?: boolean;
}

/** Something that happened: a transition, an attempt, an event. */
export interface Note {
  /** By the client's clock, in milliseconds. */
  readonly at: number;
  readonly kind: string;
  readonly detail?: string | undefined;
}

/** All about a client at this moment, for a person. It holds neither payloads nor tokens. */
export interface Inspection {
  readonly state: State;
  readonly continuity: Continuity;
  readonly sync: Sync;
  readonly quality: Quality;
  readonly problem: RoxyProblem | undefined;
  readonly transport: string | undefined;
  readonly connection: string | undefined;
  readonly cursor: string | undefined;
  readonly topics: readonly string[];
  readonly failures: number;
  readonly notes: readonly Note[];
}

/** One client of a hub. Nothing happens before connect or the first subscribe. */
export interface Client<Events extends object = Record<string, unknown>> {
  /** Runs handler once for each event of the type (`*`: of all) on a topic that matches, until the function it returns is called. */
  subscribe<Type extends (keyof Events & string) | "*">(
    type: Type,
    handler: (event: Type extends keyof Events & string ? RoxyEvent<Type, Events[Type]> : RoxyEvent) => unknown,
    options?: { readonly topic?: string | undefined },
  ): () => void;
  /**
   * Subscribes to patterns until the function it returns is called. A first stream then begins behind `after`, a cursor, or before
   * it if somebody asked for an earlier one.
   */
  retain(patterns: readonly string[], options?: { readonly after?: string | undefined }): () => void;
  /** Calls listener with all that came at once, in order, before the handlers of its events. */
  messages(listener: (batch: readonly Message[]) => unknown): () => void;
  /** Runs handler when something was missed for good. Continuity is `reset` until its promise is fulfilled. */
  onReset(handler: (reset: ResetMessage) => unknown): () => void;
  /** What a reset cost is fetched anew: for apps whose onReset does not do it. */
  recovered(): void;
  publish(publication: PublicationOf<Events>, options?: { readonly traceparent?: string }): Promise<Published>;
  /** Publishes all or none, in order. */
  publishAll(publications: readonly PublicationOf<Events>[], options?: { readonly traceparent?: string }): Promise<readonly Published[]>;
  /** Confirms a critical event on this device. */
  confirm(event: RoxyEvent | string): void;
  /** Makes a call to the hub with the client's identity, again until it answers; with `once`, one attempt. */
  call(call: Call, options?: { readonly once?: boolean }): Promise<unknown>;
  /** Connects; also after `closed`, `failed`, and with another token after `needs-auth`. */
  connect(): void;
  /** Ends the stream, and tells the hub what was handled last. */
  close(): void;
  readonly state: Observable<State>;
  readonly continuity: Observable<Continuity>;
  readonly sync: Observable<Sync>;
  readonly quality: Observable<Quality>;
  /** True when the stream has been gone for 5 s: what is shorter needs no banner. */
  readonly lost: Observable<boolean>;
  /** The outbox tells what waits in it. */
  reportSync(sync: Sync): void;
  problem(): RoxyProblem | undefined;
  inspect(): Inspection;
  /** The patterns that the stream, or the attempt, was begun with: messages are of these. */
  followed(): readonly string[];
  /** Where it lives, for what is built on it. */
  readonly platform: Platform;
  readonly device: string | undefined;
}
