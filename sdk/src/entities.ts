/** Entities of a client's hub, read and written: the store and the outbox, wired to the client. */
import type { Client } from "./core/client.ts";
import { createObservable, createRun, type Observable, type Run } from "./core/observable.ts";
import type { Leadership, Options as OutboxOptions, Outbox, Pending, Signal } from "./outbox/api.ts";
import { transportOver } from "./outbox/client.ts";
import { type Databases, indexedDBStorage } from "./outbox/indexeddb.ts";
import { createOutbox } from "./outbox/outbox.ts";
import { type Entry, memoryStorage } from "./outbox/storage.ts";
import type { JsonObject } from "./store/json.ts";
import { createStore, type How, type View } from "./store/store.ts";
import { hold } from "./tabs/hold.ts";

/** The topics of a pattern, as far as a type can say it: `orders/*` are `orders/${string}`. */
export type TopicOf<Pattern extends string> = Pattern extends `${infer Head}**`
  ? `${Head}${string}`
  : Pattern extends `${infer Head}*${infer Tail}`
    ? `${Head}${string}${TopicOf<Tail>}`
    : Pattern;

/** The patterns in E, and their topics. */
export type TopicsOf<E extends object> = TopicOf<keyof E & string>;

type Matching<E extends object, Topic extends string> = {
  [Pattern in keyof E & string]: Topic extends TopicOf<Pattern> ? Pattern : never;
}[keyof E & string];

type MostSpecific<Pattern extends string, All extends string = Pattern> = Pattern extends string
  ? true extends (All extends Pattern ? never : TopicOf<All> extends TopicOf<Pattern> ? true : never)
    ? never
    : Pattern
  : never;

/** What lives at a topic: of several patterns that match, the most specific counts. */
export type EntityAt<E extends object, Topic extends string> = E[MostSpecific<Matching<E, Topic>> & keyof E] & object;

/** What a merge patch of T may say (RFC 7396): any of its members, and null to remove one that need not be there. */
export type PatchOf<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [Name in keyof T]?: PatchOf<T[Name]> | (Record<never, never> extends Pick<T, Name> ? null : never) }
    : T;

/** Entities of any kind, for who has generated no types. */
export interface AnyEntities {
  readonly "**": JsonObject;
}

/** What entities need of a client. */
export type EntitiesClient = Pick<Client, "call" | "messages" | "retain" | "followed" | "state" | "reportSync" | "platform" | "device">;

/** How entities are kept, and what is heard of mutations. */
export interface EntitiesOptions extends Pick<OutboxOptions, "conflict" | "settled"> {
  /**
   * The IndexedDB where mutations wait over reloads, and entities are kept for a screen that has to show something before the hub
   * answers: one name for each hub and user that sign in here, deleted when another one shall not find them. Without it, and where
   * the browser has none, they last as long as the page.
   */
  readonly database?: string;
  /** Which tab sends, of those that have the database open: the one that holds a Web Lock of its name, without it. */
  readonly leadership?: Leadership;
}

/** Changes of entities. E is the RoxyEntities of `roxy generate typescript`. */
export interface Changes<E extends object, Result> {
  /** Creates or replaces an entity, also one that is not known. */
  put<Topic extends TopicsOf<E>>(topic: Topic, data: EntityAt<E, Topic>, how?: How): Result;
  /** Changes what the merge patch names. */
  patch<Topic extends TopicsOf<E>>(topic: Topic, patch: PatchOf<EntityAt<E, Topic>>, how?: How): Result;
  delete<Topic extends TopicsOf<E>>(topic: Topic, how?: How): Result;
}

/** Entities, with everything pending painted over what the hub has said. E is the RoxyEntities of `roxy generate typescript`. */
export interface Entities<E extends object = AnyEntities> extends Changes<E, Pending> {
  /** One entity, which the client subscribes to while somebody listens. The same Observable for the same topic. */
  entity<Topic extends TopicsOf<E>>(topic: Topic): Observable<View<EntityAt<E, Topic>>>;
  /** All entities that match pattern and live, by topic; likewise. */
  collection<Pattern extends TopicsOf<E>>(pattern: Pattern): Observable<readonly View<EntityAt<E, Pattern>>[]>;
  /** Makes the changes of several entities that build asks for in one request, which the hub takes all or none of. */
  atomic(build: (draft: Changes<E, void>) => void): Pending;
  /** Refused, held and parked mutations: what a screen may want to show. */
  readonly troubled: Observable<readonly Entry[]>;
  /** How many mutations are not settled. */
  readonly waiting: Observable<number>;
  /** Decides a conflict that is held. */
  resolve: Outbox["resolve"];
  /** Sends a parked mutation again, as a new one. */
  retry: Outbox["retry"];
  /** Forgets a refused or parked mutation. */
  dismiss: Outbox["dismiss"];
  /** Resolves when the mutations of earlier pages are back. */
  readonly ready: Promise<void>;
  /** Whether they survive this page. */
  readonly durable: boolean;
  /** Ends all of it; what is stored stays. The client goes on. */
  close(): void;
}

/**
 * Returns the entities of client's hub. What the client subscribes to, or somebody listens to, is kept up to date. With
 * `snapshot: true` the stream brings what is there; else it is asked for when somebody listens. With a `device` the hub also
 * tells what became of mutations whose answer was lost.
 */
export function createEntities<E extends object = AnyEntities>(client: EntitiesClient, options: EntitiesOptions = {}): Entities<E> {
  const { platform, device } = client;
  const { clock, random, hex, report } = platform;
  const transport = transportOver(client);
  const own = hex(16);
  const { indexedDB } = globalThis as { indexedDB?: Databases };
  const { database, leadership, ...heard } = options; // (without a database there are no other tabs)
  const shared = database !== undefined && indexedDB;
  const storage = shared ? indexedDBStorage(indexedDB, database, own) : memoryStorage(own);
  const tabs = shared ? tabsOf(`roxy-outbox:${database}`, leadership, createRun(report)) : undefined;
  const outbox = createOutbox({
    ...heard,
    ...tabs,
    transport,
    storage,
    clock,
    random,
    device,
    newId: () => `${Date.now().toString(36)}-${hex(10)}`, // by time, so that those of one day lie together in the hub's tables
  });
  const store = createStore({
    ...transport,
    outbox,
    clock,
    // What a stream that has not begun will follow is not followed yet.
    follows: client.state.get() === "live" ? client.followed() : [],
    retain: (pattern) => client.retain([pattern]),
    cache: storage,
  });
  const { waiting } = store;
  outbox.subscribe(() => {
    const states = outbox.troubled().map(({ state }) => state);
    client.reportSync(states.includes("held") ? "conflict" : states.includes("parked") ? "parked" : waiting.get() ? "pending" : "synced");
  });
  const stop = client.messages((batch) => {
    store.follow(client.followed());
    batch.forEach(store.receive);
  });
  outbox.start();
  return {
    ...outbox, // an app's is what the type says of it
    ...store,
    durable: storage.durable,
    troubled: { subscribe: outbox.subscribe, get: outbox.troubled },
    close() {
      stop();
      store.close();
      outbox.close();
      tabs?.close();
    },
  };
}

/**
 * What the tabs of one database have in common: how they talk, and who leads them. The one that holds a Web Lock does; where there are
 * none, or a frame may not have any, each does, and the hub is told the same by each.
 */
function tabsOf(name: string, leadership: Leadership | undefined, run: Run): { leadership: Leadership; signal: Signal | undefined; close(): void } {
  const { navigator, BroadcastChannel } = globalThis as Partial<typeof globalThis>;
  const locks = navigator?.locks;
  const channel = BroadcastChannel && new BroadcastChannel(name);
  const end = new AbortController();
  const { signal } = end;
  const leads = createObservable(!locks, run);
  if (locks && !leadership) hold(locks, name, signal, () => leads.set(true));
  return {
    leadership: leadership ?? leads,
    signal: channel && {
      post: (word) => signal.aborted || channel.postMessage(word),
      listen(listener) {
        channel.onmessage = ({ data }) => listener(data);
        return () => (channel.onmessage = null);
      },
    },
    close() {
      end.abort();
      channel?.close();
    },
  };
}
