// The store: what a screen may show of entities, which is what the hub has said with what is pending painted over it.
import type { Clock } from "../core/clock.ts";
import type { Message } from "../core/messages.ts";
import type { Observable } from "../core/observable.ts";
import { matches } from "../core/topic.ts";
import type { Draft, Outbox, Pending } from "../outbox/api.ts";
import type { Entity, Guard, Problem } from "../outbox/wire.ts";
import { basesOf } from "./bases.ts";
import type { Keeping } from "./cache.ts";
import { fieldsOf, fold, overtaken } from "./fold.ts";
import { type JsonObject, keep } from "./json.ts";

/** An entity as it may be shown. The same object until something of it changes. */
export interface View<T extends object = JsonObject> {
  readonly topic: string;
  /** With everything pending; null when nothing lives there, undefined while that is not known. */
  readonly data: T | null | undefined;
  /** That the hub has confirmed; 0 for none. */
  readonly version: number;
  /** The fields that something pending changes. */
  readonly pending: readonly string[];
  /** Why something pending waits for Outbox.resolve. */
  readonly conflict?: Problem;
  /** What is under data is from an earlier page, or from before a reset: the hub has not been heard of it since. */
  readonly fromCache?: true;
}

/** What may be said about a mutation beside what it changes. */
export interface How {
  /** "fields" without it, when the entity is known: others may have changed other fields meanwhile. */
  readonly guard?: Guard;
  /** The type of its event. */
  readonly type?: string;
  readonly correlation?: string;
  /** It is not worth sending when it has waited for so many milliseconds: then it is parked, as `expired`. */
  readonly ttl?: number;
}

/** Where a store gets what it needs. */
export interface Options {
  readonly outbox: Outbox;
  readonly fetch: (topic: string) => Promise<Entity | undefined>;
  /** All that live at the topics of a pattern. */
  readonly list: (pattern: string) => Promise<readonly Entity[]>;
  readonly clock: Clock;
  /** The patterns of the stream whose messages it receives. */
  readonly follows: readonly string[];
  /** Has the stream follow a topic or pattern, while somebody listens, until the function it returns is called. */
  readonly retain?: (pattern: string) => () => void;
  /** Keeps what the next page can show before the hub answers. */
  readonly cache?: Keeping;
}

/** Changes of entities. */
export interface Drafts<Result> {
  /** Creates or replaces an entity, also one that is not known. */
  put(topic: string, data: object, how?: How): Result;
  /** Changes what the merge patch names (RFC 7396). */
  patch(topic: string, patch: object, how?: How): Result;
  delete(topic: string, how?: How): Result;
}

/** Entities, read and written. E maps patterns to types, as roxy generate typescript writes them. */
export interface Store extends Drafts<Pending> {
  /** One entity. The same Observable for the same topic. */
  entity<T extends object = JsonObject>(topic: string): Observable<View<T>>;
  /** All entities that match pattern and live, by topic; the same Observable for the same pattern. */
  collection<T extends object = JsonObject>(pattern: string): Observable<readonly View<T>[]>;
  /** Makes the changes of several entities that build asks for in one request, which the hub takes all or none of. */
  atomic(build: (draft: Drafts<void>) => void): Pending;
  /** Takes a message of the stream, all of them in the stream's order. */
  receive(message: Message): void;
  /** The stream has other patterns from now on. */
  follow(patterns: readonly string[]): void;
  /** Mutations that are not settled, over all entities. */
  readonly waiting: Observable<number>;
  close(): void;
}

/** An Observable, and whether it has to be made anew. */
interface Shown extends Observable<unknown> {
  readonly listeners: Set<() => void>;
  stale: boolean;
}

/** Opens a store over an outbox, which stays its opener's to close. */
export function createStore(options: Options, early: typeof overtaken = overtaken): Store {
  const { outbox } = options;
  const entities = new Map<string, Shown>();
  const collections = new Map<string, Shown>();

  const changed = (topic: string): void => {
    const shown = [...collections, [topic, entities.get(topic)] as const].flatMap(([pattern, own]) => (own && matches(pattern, topic) ? own : []));
    for (const own of shown) own.stale = true;
    for (const listener of shown.flatMap(({ listeners }) => [...listeners])) listener();
  };
  const bases = basesOf(options, early, changed, () => {
    for (const topic of entities.keys()) if (!bases.known.get(topic)) changed(topic);
  });

  /** What compute makes of what there was before, again after each change of what pattern matches. */
  const observable = <T>(all: Map<string, Shown>, pattern: string, compute: (old: T | undefined) => T): Observable<T> => {
    let own = all.get(pattern) as (Shown & Observable<T>) | undefined;
    if (own) return own;
    let value: T | undefined;
    const listeners = new Set<() => void>();
    const made = {
      stale: true,
      listeners,
      get(): T {
        if (made.stale) value = compute(value);
        made.stale = false;
        return value as T;
      },
      subscribe(listener: () => void) {
        const each = (): void => listener(); // two subscriptions of one function are two
        listeners.add(each);
        const stops = [bases.watch(pattern), options.retain?.(pattern)];
        return () => {
          listeners.delete(each);
          for (const stop of stops) stop?.();
        };
      },
    };
    all.set(pattern, made);
    return made;
  };

  const entity = (topic: string): Observable<View> =>
    observable<View>(entities, topic, (old) => {
      const base = bases.known.get(topic);
      const pending = outbox.pending(topic);
      const { data = null, version = 0, cached } = base ?? {};
      const known = base || bases.whole(topic) || pending.some(({ op }) => op !== "patch");
      const conflict = pending.find(({ state }) => state === "held")?.problem;
      // References stay where nothing changed, so that a snapshot of the same renders nothing.
      return keep(old, {
        topic,
        data: known ? fold(data, pending) : undefined,
        version,
        pending: [...new Set(pending.flatMap((e) => fieldsOf(e, data)))].sort(),
        ...(conflict && { conflict }),
        ...(cached && { fromCache: true as const }),
      });
    });

  const draftOf = (op: Draft["op"], topic: string, content: Partial<Draft>, { guard, type, correlation, ttl }: How = {}): Draft => {
    const base = bases.known.get(topic);
    const pending = outbox.pending(topic);
    // Whoever has never heard of an entity cannot say what of it others may not have changed; but that it creates it, it can.
    guard ??= base || op === "put" || pending.some((e) => e.op === "put") ? "fields" : "none";
    // Whoever sees a commit of their own painted knows it, and up to it all that it left, though its event is still to come.
    let seen = base?.version ?? 0;
    for (const { version = 0, op: done } of pending) if (version === seen + 1 || done !== "patch") seen = Math.max(seen, version);
    // A copy: what will be sent of it, whatever the app does to its object afterwards.
    const draft = JSON.stringify({ op, topic, ...content, guard, base: guard === "none" ? undefined : seen, type, correlation });
    return { ...JSON.parse(draft), ttl } as Draft;
  };
  const drafts = <Result>(take: (draft: Draft) => Result): Drafts<Result> => ({
    put: (topic, data, how) => take(draftOf("put", topic, { data: data as JsonObject }, how)),
    patch: (topic, patch, how) => take(draftOf("patch", topic, { patch: patch as JsonObject }, how)),
    delete: (topic, how) => take(draftOf("delete", topic, {}, how)),
  });

  return {
    entity: entity as Store["entity"],
    collection: ((pattern) =>
      observable<readonly View[]>(collections, pattern, (old) => {
        const topics = [...new Set([...bases.known.keys(), ...outbox.topics()])].filter((topic) => matches(pattern, topic)).sort();
        return keep(old, topics.map((topic) => entity(topic).get()).filter(({ data }) => data));
      })) as Store["collection"],
    ...drafts(outbox.add),
    atomic(build) {
      const all: Draft[] = [];
      build(
        drafts((draft) => {
          if (all.some(({ topic }) => topic === draft.topic)) throw new Error(`atomic: ${draft.topic} is changed twice`);
          all.push(draft);
        }),
      );
      if (all.length === 0) throw new Error("atomic: nothing is changed");
      return outbox.add(...all);
    },
    receive: bases.receive,
    follow: bases.follow,
    close: bases.close,
    waiting: {
      subscribe: outbox.subscribe,
      get: () => outbox.topics().flatMap(outbox.pending).length,
    },
  };
}
