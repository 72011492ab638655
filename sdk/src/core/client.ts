import { createAcks } from "./acks.ts";
import type { Backoff } from "./attempts.ts";
import { createCalls, type Call, type TokenSource } from "./calls.ts";
import type { Timer } from "./clock.ts";
import { createConnection, type State } from "./connection.ts";
import { beyond, parseCursor } from "./cursor.ts";
import { createDispatch } from "./dispatch.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import { createObservable, createRun, type Observable } from "./observable.ts";
import { createPings } from "./pings.ts";
import type { Credentials, Platform } from "./platform.ts";
import type { RoxyProblem } from "./problem.ts";
import { createGauge, UNMEASURED, type Quality } from "./quality.ts";
import { createRenewal } from "./renewal.ts";
import { sse } from "./sse.ts";
import { createTaker } from "./take.ts";
import { createTopics } from "./topics.ts";
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
    options?: { readonly topic?: string },
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

/** So many notes are kept. */
const NOTES = 500;
/** So long an absence is nobody's concern. */
const SHORT = 5_000;

/** Returns a client that lives on platform. */
export function createCore<Events extends object = Record<string, unknown>>(platform: Platform, options: ClientOptions): Client<Events> {
  const { clock } = platform;
  const { token, device, types = [], heartbeat, snapshot = false, share, confirm = true, onError: report = platform.report } = options;
  const transports = [sse, ...(options.transports ?? [])];
  const source: TokenSource | undefined = typeof token === "string" ? () => token : token;
  const calls = createCalls(platform, options.url.replace(/\/+$/, ""), options.credentials ?? (source ? "omit" : "include"), source);
  const notes: Note[] = [];
  const note = (kind: string, detail?: string): void => {
    notes.push({ at: clock.now(), kind, detail });
    if (notes.length > NOTES) notes.shift();
  };
  const gauge = createGauge(clock);
  const taker = createTaker(snapshot);
  const run = createRun(report);
  const state = createObservable<State>("idle", run);
  const continuity = createObservable<Continuity>("catching-up", run);
  const sync = createObservable<Sync>("synced", run);
  const lost = createObservable(false, run);
  const quality = createObservable<Quality>(UNMEASURED, run);
  const measure = (): void => quality.set(gauge.evaluate());

  const acks = device
    ? createAcks(clock, report, device, confirm, (body, keepalive) => calls.call({ method: "POST", path: "/v1/acks", body, keepalive }))
    : undefined;

  let caughtUp = false; // since the stream began
  let holed: unknown; // the reset of which the losses are not fetched; a later one waits for itself
  const judge = (): void => continuity.set(holed ? "reset" : caughtUp ? "ok" : "catching-up");
  const recovered = (): void => {
    holed = undefined;
    judge();
  };
  const dispatch = createDispatch(run, acks, (reset, settled) => {
    note("reset", reset.reason);
    if (reset.reason !== "view") gauge.see("resets");
    holed = reset;
    judge();
    void settled.then((good) => {
      // A snapshot brings all entities anew, whoever listens.
      if (holed === reset && good.every(Boolean) && (snapshot || good.length > 0)) recovered();
    });
  });

  let connectionId: string | undefined;
  let after: string | null | undefined = options.after; // null once a stream has begun
  let followed: readonly string[] = []; // the topics of the last attempt
  let gone: Timer; // runs since the stream went
  const connection = createConnection({
    platform,
    calls,
    gauge,
    transports: share?.over(transports) ?? transports,
    backoff: options.backoff ?? {},
    request() {
      followed = topics.list();
      if (followed.length === 0) return undefined;
      const position = taker.position();
      const from = position ? (acks ? acks.resume(position) : position)?.text : (after ?? undefined);
      return { topics: followed, types, device, heartbeat, snapshot, after: from, heard: dispatch.heard };
    },
    take: taker.take,
    give({ heartbeat: beat, messages }) {
      if (beat !== undefined) gauge.heartbeat(beat);
      for (const message of messages) {
        if (message.kind !== "event") continue;
        if (message.live && message.cursor) gauge.event(Date.parse(message.time));
        note(message.type, message.cursor ?? message.topic);
      }
      dispatch.give(messages);
      acks?.passed(taker.position());
      caughtUp ||= messages.some(({ kind }) => kind === "live");
      judge();
    },
    note,
    become(next, hello) {
      connectionId = hello?.connection;
      caughtUp = false; // a tab that follows another hears no end of a stream, only that the next one begins
      judge();
      if (hello) {
        after = null;
        acks?.begins(hello.position);
      }
      ping(!!hello);
      renewal(hello);
      state.set(next);
      share?.state(next);
      measure();
      if (["live", "closed", "idle"].includes(next)) {
        clock.clear(gone);
        gone = undefined;
        lost.set(false);
      } else gone ??= clock.set(() => lost.set(true), SHORT);
    },
    tick: measure,
  });

  const topics = createTopics(clock, () => {
    if (unwatch && topics.list().join() !== followed.join()) connection.renew("topics");
  });
  const renewal = createRenewal(platform, calls, () => connection.renew("token"));
  const ping = createPings(
    platform,
    () => {
      const sent = clock.now();
      calls.ping().then(
        (time) => gauge.pinged(sent, time),
        () => {
          gauge.pinged(sent, undefined);
          measure();
        },
      );
    },
    () => gauge.level() <= 1,
  );

  let unwatch: (() => void) | undefined; // while the client is started
  const start = (): void => {
    calls.reopen();
    unwatch ??= platform.watch(connection.signal);
    connection.connect();
  };

  let publishing = 0;
  let reported: Sync = "synced";
  const settleSync = (): void => sync.set(reported === "synced" && publishing > 0 ? "pending" : reported);

  const publishAll = async (publications: readonly Publication[], headers: { readonly traceparent?: string } = {}): Promise<readonly Published[]> => {
    const body = publications.map((publication) => {
      const id = publication.id ?? (publication.ephemeral ? undefined : platform.hex(16));
      return { correlation: id, ...publication, id };
    });
    publishing++;
    settleSync();
    try {
      const once = body.some(({ ephemeral }) => ephemeral); // nothing protects those from doubling
      const answer = await calls.call({ method: "POST", path: "/v1/events", body, headers }, once);
      return (answer as { events: Published[] }).events;
    } finally {
      publishing--;
      settleSync();
    }
  };

  topics.retain(options.topics ?? []);

  return {
    subscribe(type, handler, { topic } = {}) {
      const release = topics.retain(topic === undefined ? [] : [topic]);
      const stop = dispatch.subscribe(type, topic, handler as (event: RoxyEvent) => unknown);
      connection.hear(type);
      if (!unwatch) start();
      return () => {
        stop();
        release();
      };
    },
    retain(patterns, { after: from } = {}) {
      if (from && (after === undefined || beyond(parseCursor(after), parseCursor(from)))) {
        after = from;
        if (unwatch) connection.renew("after");
      }
      const release = topics.retain(patterns);
      if (!unwatch) start();
      return release;
    },
    messages: dispatch.messages,
    onReset: dispatch.onReset,
    recovered,
    publish: async (publication, given) => (await publishAll([publication as Publication], given))[0]!,
    publishAll: (publications, given) => publishAll(publications as readonly Publication[], given),
    confirm(event) {
      const id = typeof event === "string" ? event : event.ack?.id;
      if (!acks || !id) throw new Error("confirm: no device, or no critical event");
      acks.confirm(id);
    },
    call: (call, { once } = {}) => calls.call(call, once),
    connect: start,
    close() {
      unwatch?.();
      unwatch = undefined;
      connection.close();
      acks?.close();
      calls.close();
    },
    state,
    continuity,
    sync,
    quality,
    lost,
    reportSync(next) {
      reported = next;
      settleSync();
    },
    problem: connection.problem,
    inspect: () => ({
      state: state.get(),
      continuity: continuity.get(),
      sync: sync.get(),
      quality: quality.get(),
      problem: connection.problem(),
      transport: connection.transport()?.name,
      connection: connectionId,
      cursor: taker.position()?.text,
      topics: topics.list(),
      failures: connection.failures(),
      notes: [...notes],
    }),
    followed: () => followed,
    platform,
    device,
  };
}
