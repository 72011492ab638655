// The store: what a screen may show of entities, which is what the hub has said with what is pending painted over it.
import type { Clock, Timer } from "../core/clock.ts";
import type { Message } from "../core/messages.ts";
import { matches } from "../core/topic.ts";
import type { Draft, Outbox, Pending } from "../outbox/api.ts";
import type { Entity, Guard, Problem } from "../outbox/wire.ts";
import { basesOf, type Source } from "./bases.ts";
import { createCache, type Keeping } from "./cache.ts";
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
  /** What is under data is from an earlier page: the hub has not been heard yet. */
  readonly fromCache?: true;
}

/** What useSyncExternalStore takes: get returns the same until a listener was called. */
export interface Readable<T> {
  readonly subscribe: (listener: () => void) => () => void;
  readonly getSnapshot: () => T;
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

/** An event that takes longer to follow its commit's answer is asked for. */
const eventWithin = 5000;

/** Entities, read and written. E maps patterns to types, as roxy generate typescript writes them. */
export interface Store extends Drafts<Pending> {
  /** One entity. The same Readable for the same topic. */
  entity<T extends object = JsonObject>(topic: string): Readable<View<T>>;
  /** All entities that match pattern and live, by topic; the same Readable for the same pattern. */
  collection<T extends object = JsonObject>(pattern: string): Readable<readonly View<T>[]>;
  /** Makes the changes of several entities that build asks for in one request, which the hub takes all or none of. */
  atomic(build: (draft: Drafts<void>) => void): Pending;
  /** Takes a message of the stream, all of them in the stream's order. */
  receive(message: Message): void;
  /** The stream has other patterns from now on. */
  follow(patterns: readonly string[]): void;
  /** Mutations that are not settled, over all entities. */
  readonly waiting: Readable<number>;
  close(): void;
}

/** Opens a store over an outbox, which stays its opener's to close. */
export function createStore(options: Options, early: typeof overtaken = overtaken): Store {
  const { outbox } = options;
  const views = new Map<string, View>();
  const stale = new Set<string>();
  const entities = new Map<string, { readable: Readable<View>; listeners: Set<() => void> }>();
  const collections = new Map<string, { readable: Readable<readonly View[]>; listeners: Set<() => void>; stale: boolean }>();
  const awaited = new Map<string, Timer>();
  const counters = new Set<() => void>();

  const changed = (topic: string): void => {
    stale.add(topic);
    const listeners = [...(entities.get(topic)?.listeners ?? [])];
    for (const [pattern, c] of collections) {
      if (!matches(pattern, topic)) continue;
      c.stale = true;
      listeners.push(...c.listeners);
    }
    for (const listener of listeners) listener();
    for (const listener of [...counters]) listener();
  };

  const source: Source = {
    fetch: options.fetch,
    list: options.list,
    clock: options.clock,
    follows: options.follows,
    complete() {
      for (const topic of entities.keys()) if (!bases.get(topic)) changed(topic);
    },
    advanced(topic, before, change) {
      const base = bases.get(topic);
      if (!base) return;
      const pending = outbox.pending(topic);
      const ours = change?.mutation !== undefined && pending.some((e) => e.id === change.mutation);
      // What the outbox forgets, because it is in the base, must be in what the next page finds.
      if (!base.cached) cache?.changed(topic, pending.length > 0);
      outbox.applied(topic, base.version, change?.mutation);
      if (change && !ours) {
        for (const { id, fields } of early(base, before, pending)) {
          outbox.overtaken(id, {
            code: "version-conflict",
            detail: `others changed ${fields.join(", ")} meanwhile`,
            current: { topic, version: base.version, data: base.data },
            fields,
          });
        }
      }
      changed(topic);
    },
    lost: () => outbox.lost(),
  };
  const bases = basesOf(source);
  const cache = options.cache && createCache(options.cache, options.clock, bases.get, bases.recall);

  /**
   * Asks for what was committed and is not in the base: at once where no event will tell, else when none came in time. (After a reload
   * none comes for an entity that somebody deleted before the snapshot.)
   */
  const missing = (topic: string, now: boolean): void => {
    const version = Math.max(...outbox.pending(topic).map((e) => (e.state === "committed" ? (e.version as number) : 0)));
    if (version <= (bases.get(topic)?.version ?? 0)) return;
    if (now || !source.follows.some((pattern) => matches(pattern, topic))) bases.need(topic, version);
    else if (!awaited.has(topic)) {
      awaited.set(
        topic,
        options.clock.set(() => {
          awaited.delete(topic);
          missing(topic, true);
        }, eventWithin),
      );
    }
  };

  const compute = (topic: string): View => {
    const old = views.get(topic);
    if (old && !stale.has(topic)) return old;
    stale.delete(topic);
    const base = bases.get(topic);
    const pending = outbox.pending(topic);
    let data: JsonObject | null | undefined = base ? base.data : bases.whole(topic) ? null : undefined;
    if (base || pending.some((e) => e.op !== "patch")) data = fold(base?.data ?? null, pending);
    if (data && old?.data) data = keep(old.data, data);
    const fields = [...new Set(pending.flatMap((e) => fieldsOf(e, base?.data ?? null)))].sort();
    const conflict = pending.find((e) => e.state === "held")?.problem;
    const next: View = {
      topic,
      data,
      version: base?.version ?? 0,
      pending: old && String(old.pending) === String(fields) ? old.pending : fields,
      ...(conflict && { conflict }),
      ...(base?.cached && { fromCache: true }),
    };
    const names = ["data", "version", "pending", "conflict", "fromCache"] as const;
    if (old && names.every((name) => old[name] === next[name])) return old;
    views.set(topic, next);
    return next;
  };

  const listen = (listeners: Set<() => void>, pattern?: string) => (listener: () => void): (() => void) => {
    const own = (): void => listener(); // two subscriptions of one function are two
    listeners.add(own);
    const stops = pattern === undefined ? [] : [bases.watch(pattern), options.retain?.(pattern)];
    return () => {
      listeners.delete(own);
      for (const stop of stops) stop?.();
    };
  };

  const draftOf = (op: Draft["op"], topic: string, content: Partial<Draft>, how: How = {}): Draft => {
    const base = bases.get(topic);
    const pending = outbox.pending(topic);
    // Whoever has never heard of an entity cannot say what of it others may not have changed; but that it creates it, it can.
    const guard = how.guard ?? (base || op === "put" || pending.some((e) => e.op === "put") ? "fields" : "none");
    // Whoever sees a commit of their own painted knows it, and up to it all that it left, though its event is still to come.
    const seen = pending.reduce((version, e) => {
      const known = e.state === "committed" && (e.version === version + 1 || e.op !== "patch");
      return known ? Math.max(version, e.version as number) : version;
    }, base?.version ?? 0);
    return {
      op,
      topic,
      ...content,
      guard,
      ...(guard !== "none" && { base: seen }),
      ...(how.type !== undefined && { type: how.type }),
      ...(how.correlation !== undefined && { correlation: how.correlation }),
      ...(how.ttl !== undefined && { ttl: how.ttl }),
    };
  };
  const drafts = <Result>(take: (draft: Draft) => Result): Drafts<Result> => ({
    put: (topic, data, how) => take(draftOf("put", topic, { data: copied(data) }, how)),
    patch: (topic, patch, how) => take(draftOf("patch", topic, { patch: copied(patch) }, how)),
    delete: (topic, how) => take(draftOf("delete", topic, {}, how)),
  });

  const unsubscribe = outbox.subscribe((topic) => {
    missing(topic, false);
    changed(topic);
  });

  return {
    entity<T extends object>(topic: string) {
      let known = entities.get(topic);
      if (!known) {
        const listeners = new Set<() => void>();
        known = { listeners, readable: { subscribe: listen(listeners, topic), getSnapshot: () => compute(topic) } };
        entities.set(topic, known);
      }
      return known.readable as unknown as Readable<View<T>>;
    },
    collection<T extends object>(pattern: string) {
      let known = collections.get(pattern);
      if (!known) {
        const listeners = new Set<() => void>();
        let list: readonly View[] = [];
        const getSnapshot = (): readonly View[] => {
          if (!own.stale) return list;
          own.stale = false;
          const topics = new Set([...bases.topics(), ...outbox.topics()].filter((topic) => matches(pattern, topic)));
          const next = [...topics].sort().map(compute).filter((v) => v.data);
          if (next.length !== list.length || next.some((v, i) => v !== list[i])) list = next;
          return list;
        };
        const own = { listeners, stale: true, readable: { subscribe: listen(listeners, pattern), getSnapshot } };
        known = own;
        collections.set(pattern, known);
      }
      return known.readable as unknown as Readable<readonly View<T>[]>;
    },
    ...drafts((draft) => outbox.add(draft)),
    atomic(build) {
      const all = new Map<string, Draft>();
      build(
        drafts((draft) => {
          if (all.has(draft.topic)) throw new Error(`atomic: ${draft.topic} is changed twice`);
          all.set(draft.topic, draft);
        }),
      );
      if (all.size === 0) throw new Error("atomic: nothing is changed");
      return outbox.add(...all.values());
    },
    receive(message) {
      if (message.kind === "receipt") return outbox.receipt({ ...message, problem: message.problem as unknown as Problem });
      bases.receive(message);
      if (message.kind !== "live") return;
      for (const topic of outbox.topics()) missing(topic, true);
      outbox.wake();
    },
    follow: (patterns) => void (source.follows = patterns),
    waiting: {
      subscribe: listen(counters),
      getSnapshot: () => outbox.topics().reduce((n, topic) => n + outbox.pending(topic).length, 0),
    },
    close() {
      unsubscribe();
      for (const timer of awaited.values()) options.clock.clear(timer);
      bases.close();
      cache?.close();
    },
  };
}

/** What will be sent of it, whatever the app does to its object afterwards. */
function copied(object: object): JsonObject {
  return JSON.parse(JSON.stringify(object)) as JsonObject;
}
