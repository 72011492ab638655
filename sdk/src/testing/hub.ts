/** An in-memory hub for tests of apps: docs/protocol.md without a network, held to the real hub by sdk/test/conformance. */
import { globalPlatform } from "../browser.ts";
import type { Publication } from "../core/client.ts";
import type { Clock } from "../core/clock.ts";
import type { Platform, Signal } from "../core/platform.ts";
import type { Json, JsonObject } from "../store/json.ts";
import { createDecoder } from "./bytes.ts";
import { createCriticals, toldCritical, type CriticalTold, type Voice } from "./critical.ts";
import { createDevices } from "./devices.ts";
import { createEntities, toldEntity, type EntityTold } from "./entities.ts";
import { createFaults, type Faults } from "./faults.ts";
import { createFetch, type TestFetch } from "./fetch.ts";
import { nameFault, readDuration } from "./grammar.ts";
import { createIdentities, type Claims, type Identity, type Policy } from "./identity.ts";
import { createLog, spellTime, type EntityChange, type LogEvent } from "./log.ts";
import { createMutations, type MutationResult } from "./mutations.ts";
import { createPresence } from "./presence.ts";
import { createPublishing, type PublishedEvent } from "./publish.ts";
import { createRoutes } from "./routes.ts";
import { createStreams } from "./streams.ts";

/** How a test hub is. All of it may be left out. */
export interface TestHubOptions {
  /** Who may do what; without it everybody may do everything, and hear who is present and what nobody confirmed. */
  readonly policy?: Policy;
  /** The time that hub and clients go by; the real one, or that of fake timers, when left out. See createManualClock. */
  readonly clock?: Clock;
  /** Where the hub is; http://hub.test when left out. */
  readonly url?: string;
  /** How long somebody counts as present whose last connection ended; 20s when left out. */
  readonly presence?: { readonly grace?: string };
  /** What a device that was away is given: so many events, so old at most; 1,000 and 24h when left out. */
  readonly mailbox?: { readonly events?: number; readonly age?: string };
  /** Bytes of one event or entity; 65,536 when left out. */
  readonly maxEventBytes?: number;
}

/** A mutation as POST /v1/mutations takes it. */
export interface TestMutation {
  readonly id?: string;
  readonly op: "put" | "patch" | "delete";
  readonly topic: string;
  readonly data?: JsonObject;
  readonly patch?: JsonObject;
  readonly guard?: "none" | "version" | "fields";
  readonly base?: number;
  readonly device?: string;
  readonly seq?: number;
  readonly type?: string;
  readonly correlation?: string;
}

/** An event of the log, for asserts. */
export interface HubEvent {
  readonly cursor: string;
  readonly topic: string;
  readonly type: string;
  /** Null when none was published; undefined for an entity's commit, which has a change. */
  readonly data?: Json;
  readonly by?: string;
  readonly id?: string;
  readonly to?: { readonly roles: readonly string[]; readonly users: readonly string[] };
  readonly correlation?: string;
  readonly change?: EntityChange;
  readonly time: string;
}

/** A live stream, for asserts. */
export interface HubConnection {
  readonly connection: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly device?: string;
  readonly topics: readonly string[];
  readonly types: readonly string[];
  readonly since: string;
}

export interface TestHub {
  readonly url: string;
  /** For createClient's `platform`. */
  readonly platform: Platform;
  /** For code that calls the hub by fetch itself: `vi.stubGlobal("fetch", hub.fetch)`. */
  readonly fetch: TestFetch;
  readonly clock: Clock;
  /** Returns a token, good for an hour unless the claims say less. The test hub takes no others. */
  token(claims: Claims): string;
  /** The cookie of every client without a token of its own; undefined signs out. */
  signIn(token: string | undefined): void;
  /** Publishes as somebody who may do everything, `test` unless how says who. Throws the RoxyProblem of a refusal. */
  publish(publication: Publication, how?: { readonly by?: string }): PublishedEvent;
  /** Publishes all or none, in order. */
  publishAll(publications: readonly Publication[], how?: { readonly by?: string }): readonly PublishedEvent[];
  /** Commits like publish: one entity, or several, all or none. */
  mutate(mutation: TestMutation, how?: { readonly by?: string }): MutationResult;
  mutateAll(mutations: readonly TestMutation[], how?: { readonly by?: string }): readonly MutationResult[];
  readonly faults: Faults;
  /** The log, oldest first. */
  events(): readonly HubEvent[];
  /** What lives at a topic; data is null for what was deleted. */
  entity(topic: string): EntityTold | undefined;
  connections(): readonly HubConnection[];
  /** What is known of a critical event, by its cursor or the id that it was published with; undefined when there is none. */
  acked(id: string): CriticalTold | undefined;
  /** Forgets the log up to an offset, as retention does: who resumes before it hears roxy:reset. */
  trim(offset: number): void;
  /** Ends all streams and timers; for afterEach. */
  close(): void;
}

const OPTIONS = ["policy", "clock", "url", "presence", "mailbox", "maxEventBytes"];

/**
 * Returns a hub in memory, of one tenant. It has no views, schemas, WebSockets, CloudEvents and administrators' calls: who asks
 * for them is refused with the code `not-supported`. Nobody is too fast for it, and its waits are not jittered: what limits
 * do to an app is a matter of faults.refuse. Throws for options that it does not have.
 */
export function createTestHub(options: TestHubOptions = {}): TestHub {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) throw new Error(`createTestHub: ${name}: unknown option; there are ${OPTIONS.join(", ")}`);
  }
  const world = globalPlatform();
  const { clock = world.clock, policy, mailbox = {}, maxEventBytes = 64 << 10 } = options;
  const url = (options.url ?? "http://hub.test").replace(/\/+$/, "");
  const [began, beganAt] = [Date.now(), clock.now()];
  const wall = (): number => began + Math.round(clock.now() - beganAt);

  const identities = createIdentities(clock, wall, policy);
  const log = createLog(wall, (event) => streams.event(event));
  const entities = createEntities();
  const devices = createDevices(log, wall);
  const presence = createPresence(clock, wall, durationOf("presence.grace", options.presence?.grace ?? "20s"));
  const voice: Voice = {
    control: (user, device, type, data) => streams.control(user, device, type, data),
    again: (device, event, attempt) => streams.again(device, event, attempt),
  };
  const criticals = createCriticals(clock, wall, log, devices, voice);
  const holds = { events: mailbox.events ?? 1_000, age: durationOf("mailbox.age", mailbox.age ?? "24h") };
  const streams = createStreams({ clock, wall, log, entities, devices, criticals, presence, mailbox: holds });
  const publishing = createPublishing({ log, wall, criticals, maxBytes: maxEventBytes, signal: (event) => streams.event(event) });
  const mutations = createMutations({ log, wall, entities, voice, maxBytes: maxEventBytes });
  const answer = createRoutes({ wall, identities, log, entities, devices, criticals, presence, publishing, mutations, streams, maxBytes: maxEventBytes });

  const watchers = new Set<(signal: Signal) => void>();
  let closed = false;
  const cut = (): void => {
    network.cut();
    for (const stream of streams.live()) stream.cut();
  };
  const plan = createFaults({
    cut,
    halfOpen() {
      for (const { pipe } of streams.live()) pipe.freeze();
    },
    restart(loseLog) {
      presence.begin();
      cut();
      identities.forget();
      if (loseLog) for (const part of [log, entities, devices, criticals, publishing, mutations]) part.lose();
    },
    expire(token) {
      identities.expire(token);
      for (const stream of streams.live()) if (stream.sub.identity.token === token) stream.bye("token-expired");
    },
    hold(held) {
      for (const { pipe } of streams.live()) held ? pipe.hold() : pipe.release();
    },
    signal(signal) {
      for (const tell of [...watchers]) tell(signal);
    },
  });
  const network = createFetch({ url, clock, plan, answer });
  const fetch: TestFetch = (target, init) => {
    if (closed) return Promise.reject(new Error("the test hub is closed"));
    return network.fetch(target, init);
  };

  const { eventSource, webSocket, ...rest } = world; // the test hub has streams over fetch alone
  const platform: Platform = {
    ...rest,
    clock,
    fetch,
    absolute: (text) => text,
    decoder: createDecoder,
    offline: () => plan.offline || world.offline(),
    watch(listener) {
      watchers.add(listener);
      const unwatch = world.watch(listener);
      return () => {
        watchers.delete(listener);
        unwatch();
      };
    },
  };

  const anybody = (by = "test"): Identity => {
    const why = nameFault(by);
    if (why !== undefined) throw new Error(`by: ${JSON.stringify(by)}: ${why}`);
    return { user: by, roles: [], grant: { read: ["**"], publish: ["**"], write: ["**"], admin: true }, expires: Infinity, token: "" };
  };
  const publish = (body: Publication | readonly Publication[], by?: string): readonly PublishedEvent[] =>
    publishing.publish(anybody(by), JSON.stringify(body), {}).events;
  const mutate = (body: TestMutation | readonly TestMutation[], by?: string): readonly MutationResult[] =>
    mutations.bulk(anybody(by), JSON.stringify(body), {}).results;

  return {
    url,
    platform,
    fetch,
    clock,
    token: (claims) => identities.token(claims),
    signIn: (token) => identities.signIn(token),
    publish: (publication, how) => publish(publication, how?.by)[0]!,
    publishAll: (publications, how) => publish(publications, how?.by),
    mutate: (mutation, how) => mutate(mutation, how?.by)[0]!,
    mutateAll: (all, how) => mutate(all, how?.by),
    faults: plan.faults,
    events: () => log.behind(log.first - 1).map((event) => toldEvent(event, log.cursor(event.offset))),
    entity(topic) {
      const state = entities.get(topic);
      return state.version > 0 ? toldEntity(state) : undefined;
    },
    connections: () =>
      streams.live().map(({ connection, since, sub: { identity, device, patterns, types } }) => ({
        connection,
        user: identity.user,
        roles: identity.roles,
        ...(device !== undefined && { device }),
        topics: patterns,
        types,
        since: spellTime(since),
      })),
    acked(id) {
      const event = log.behind(log.first - 1).find((e) => e.ack && (log.cursor(e.offset) === id || e.id === id));
      const critical = event && criticals.at(event.offset);
      return critical && toldCritical(critical);
    },
    trim(offset) {
      criticals.trim(Math.min(offset, log.head));
      log.trim(Math.min(offset, log.head));
    },
    close() {
      closed = true;
      plan.faults.clear();
      presence.begin();
      cut();
      criticals.lose();
    },
  };
}

function toldEvent({ topic, type, data, by, id, roles, users, correlation, change, time }: LogEvent, cursor: string): HubEvent {
  return {
    cursor,
    topic,
    type,
    ...(change ? { change } : { data: JSON.parse(data ?? "null") as Json }),
    ...(by !== undefined && { by }),
    ...(id !== undefined && { id }),
    ...(roles.length + users.length > 0 && { to: { roles, users } }),
    ...(correlation !== undefined && { correlation }),
    time: spellTime(time),
  };
}

function durationOf(name: string, text: string): number {
  const ms = readDuration(text);
  if (ms === undefined || ms <= 0) throw new Error(`createTestHub: ${name}: ${JSON.stringify(text)}: want a duration such as 20s`);
  return ms;
}
