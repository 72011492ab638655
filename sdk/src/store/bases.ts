// What the hub has said of entities: the base of each, kept up by events, snapshots and, where something is missing, by asking.
import { type Alarm, createAlarm, type Timer } from "../core/clock.ts";
import type { Change as Commit, EntityMessage } from "../core/messages.ts";
import { matches } from "../core/topic.ts";
import type { Entity, Result } from "../outbox/wire.ts";
import { createCache } from "./cache.ts";
import type { Base, overtaken } from "./fold.ts";
import { type JsonObject, merge } from "./json.ts";
import type { Options, Store } from "./store.ts";

/** What became of an entity by one commit. */
export interface Change extends Commit {
  readonly topic: string;
}

/** The bases of all entities that are known. */
export interface Bases extends Pick<Store, "receive" | "follow" | "close"> {
  /** All of them, by topic. */
  readonly known: ReadonlyMap<string, Base>;
  /** Whether all there is of pattern is known, so that what is not known is not there. */
  whole(pattern: string): boolean;
  /** Has pattern known whole, as soon as the stream follows it, until the function it returns is called. */
  watch(pattern: string): () => void;
}

/** A question to the hub that is not answered. */
interface Asking {
  /** The version that the answer must have, at least. */
  version: number;
  /** Events that came meanwhile. */
  readonly later: Change[];
  /** When it is asked again. */
  readonly alarm: Alarm;
  tries: number;
}

/** What has no answer for this long is asked again. */
const answerWithin = 10_000;
/** How long to wait after a failure: twice as long each time, up to the second. */
const [retryAfter, retryWithin] = [1000, 30_000];

/** An event that takes longer to follow its commit's answer is asked for. */
const eventWithin = 5000;

/** Whether all topics of a pattern are of one of patterns. */
const covered = (patterns: readonly string[], inner: string): boolean =>
  patterns.some((outer) => matches(outer, inner) && (outer.endsWith("**") || !inner.endsWith("**")));

/**
 * Returns bases that know nothing but what an earlier page kept. They tell the outbox what they hold, and so what is done, overtaken or
 * missing. They call changed when a base, or what is pending over it, is another, and completed when more patterns are known whole.
 */
export function basesOf(
  { outbox, fetch, list, clock, follows, cache: keeping }: Options,
  early: typeof overtaken,
  changed: (topic: string) => void,
  completed: () => void,
): Bases {
  const bases = new Map<string, Base>();
  const asking = new Map<string, Asking>(); // by topic, and by pattern for all of its entities
  const watched = new Map<object, string>();
  let wholes: readonly string[] = []; // patterns of which all is known
  let snapshot: Set<string> | undefined; // the topics of the one that comes
  let late: Timer;

  const set = (base: Base, change?: Change): void => {
    const { topic, version } = base;
    const before = bases.get(topic)?.data ?? null;
    const pending = outbox.pending(topic);
    bases.set(topic, base);
    // What the outbox forgets, because it is in the base, must be in what the next page finds.
    if (!base.cached) cache?.changed(base, pending.length > 0);
    outbox.applied(topic, version, change?.mutation);
    if (change && !pending.some(({ id }) => id === change.mutation)) {
      for (const { id, fields } of early(base, before, pending)) {
        outbox.overtaken(id, { code: "version-conflict", detail: `others changed ${fields.join(", ")} meanwhile`, current: base, fields });
      }
    }
    changed(topic);
  };
  /** What is known of a topic for certain: without more, that nothing lives there yet. */
  const known = (topic: string): Base => {
    const base = bases.get(topic);
    return base && !base.cached ? base : { topic, version: 0, data: null };
  };
  const followed = (pattern: string): boolean => covered(follows, pattern);
  const whole = (pattern: string): boolean => covered(wholes, pattern);

  const hear = (change: Change): void => {
    const { topic, version } = change;
    const waiting = asking.get(topic);
    if (waiting) return void waiting.later.push(change);
    const base = known(topic);
    if (version <= base.version) return; // R5: heard before
    // Nothing is missing before the first version; and nothing of what was before survives in an entity that a put creates.
    if (change.base !== base.version) return ask(topic, version);
    set({ topic, version, data: change.op === "delete" ? null : merge(base.data ?? {}, (change.patch ?? {}) as JsonObject) }, change);
  };

  /** Takes what is told of an entity whole, unless more is known. */
  const take = (entity: Entity): void => {
    const { topic, version } = entity;
    const waiting = asking.get(topic);
    const answered = waiting && waiting.version <= version;
    if (answered) forget(topic);
    if (version >= known(topic).version) set(entity);
    if (answered) waiting.later.forEach(hear);
  };

  const ask = (pattern: string, version: number): void => {
    const waiting = asking.get(pattern);
    if (waiting) waiting.version = Math.max(waiting.version, version);
    else send(pattern, { version, later: [], alarm: createAlarm(clock), tries: 0 });
  };

  const send = (pattern: string, own: Asking): void => {
    const { version } = own;
    const again = (ms: number): void => own.alarm(() => send(pattern, own), ms);
    const answered = (found: Entity | readonly Entity[] | undefined): void => {
      // Nothing there has no version: it is at least the one that was heard of.
      const all = [found ?? { topic: pattern, version: Math.max(version, known(pattern).version), data: null }].flat();
      if (all.some((entity) => entity.version < own.version)) return send(pattern, own); // heard of more meanwhile
      forget(pattern);
      all.forEach(take);
      own.later.forEach(hear);
      if ([...watched.values()].includes(pattern)) complete([pattern], new Set(all.map(({ topic }) => topic)));
    };
    asking.set(pattern, own);
    again(answerWithin);
    const open = (): boolean => asking.get(pattern) === own;
    (pattern.includes("*") ? list : fetch)(pattern).then(
      (found) => open() && answered(found),
      () => open() && again(Math.min(retryAfter * 2 ** own.tries++, retryWithin)),
    );
  };

  /** Asks no more. */
  const forget = (pattern: string): void => {
    asking.get(pattern)?.alarm();
    asking.delete(pattern);
  };

  /** All that lives of patterns was told: there. */
  const complete = (patterns: readonly string[], there?: ReadonlySet<string>): void => {
    for (const { topic, version, data, cached } of bases.values()) {
      if (!data || there?.has(topic) || !patterns.some((pattern) => matches(pattern, topic))) continue;
      // What this page has heard may be ahead of what was told.
      if (cached) set({ topic, version: 0, data: null });
      else ask(topic, version);
    }
    wholes = [...wholes.filter(followed), ...patterns];
    completed();
  };

  const load = (pattern: string): void => {
    // Before the stream follows it, what came between would be missed.
    if (followed(pattern) && !whole(pattern) && !snapshot) ask(pattern, 0);
  };
  const forgetAll = (): void => [...asking.keys()].forEach(forget);

  /** Asks for what was committed and is not in the base: at once where no event will tell, else when none came in time. */
  const missing = (topic: string, now = false): void => {
    const version = Math.max(...outbox.pending(topic).map((e) => e.version ?? 0));
    if (version <= (bases.get(topic)?.version ?? 0)) return;
    if (now || !followed(topic)) ask(topic, version);
    else late ??= clock.set(allMissing, eventWithin);
  };
  /** (After a reload no event comes for an entity that somebody deleted before the snapshot.) */
  const allMissing = (): void => {
    clock.clear(late);
    late = undefined;
    for (const topic of outbox.topics()) missing(topic, true);
  };

  const cache =
    keeping &&
    createCache(keeping, clock, (entities) => {
      for (const { topic, version, data } of entities) if (!bases.has(topic) && !whole(topic)) set({ topic, version, data, cached: true });
    });
  const unsubscribe = outbox.subscribe((topic) => {
    missing(topic);
    changed(topic);
  });

  return {
    known: bases,
    follow: (patterns) => void (follows = patterns),
    whole,
    watch(pattern) {
      const own = {};
      watched.set(own, pattern);
      load(pattern);
      return () => void watched.delete(own);
    },
    receive(message) {
      if (message.kind === "event" && message.change) {
        snapshot?.add(message.topic); // what is replayed behind it was created since
        hear({ ...message.change, topic: message.topic });
      }
      if (message.kind === "snapshot") snapshot = new Set();
      if (message.kind === "entity") {
        snapshot?.add(message.topic);
        // It is of one moment; what was asked for may be newer, and what comes behind the snapshot leads there.
        take(message as EntityMessage & Entity);
      }
      if (message.kind === "live") {
        complete(snapshot ? follows : [], snapshot);
        snapshot = undefined;
        watched.forEach(load);
        allMissing();
        outbox.wake();
      }
      if (message.kind === "receipt") outbox.receipt(message as unknown as Result);
      if (message.kind === "reset") {
        if (message.reason === "epoch") outbox.lost();
        forgetAll(); // what was heard is from before the hole
        wholes = [];
        for (const base of bases.values()) {
          bases.set(base.topic, { ...base, cached: true });
          // A snapshot that follows brings what the stream follows.
          if (message.cursor || !followed(base.topic)) ask(base.topic, 0);
        }
      }
    },
    close() {
      unsubscribe();
      clock.clear(late);
      forgetAll();
      cache?.close();
    },
  };
}
