// What the hub has said of entities: the base of each, kept up by events, snapshots and, where something is missing, by asking.
import { type Alarm, type Clock, createAlarm } from "../core/clock.ts";
import type { Change as Commit, Message } from "../core/messages.ts";
import { matches } from "../core/topic.ts";
import type { Entity } from "../outbox/wire.ts";
import type { Base } from "./fold.ts";
import { type JsonObject, merge } from "./json.ts";

/** What became of an entity by one commit. */
export interface Change extends Commit {
  readonly topic: string;
}

/** What bases are kept with. */
export interface Source {
  readonly fetch: (topic: string) => Promise<Entity | undefined>;
  readonly list: (pattern: string) => Promise<readonly Entity[]>;
  readonly clock: Clock;
  /** The patterns of the stream: what matches none of them is heard of by asking only. */
  readonly follows: readonly string[];
}

/** The bases of all entities that are known. */
export interface Bases {
  get(topic: string): Base | undefined;
  topics(): Iterable<string>;
  /** The stream has other patterns from now on. */
  follow(patterns: readonly string[]): void;
  /** Whether the stream tells of all of pattern. */
  followed(pattern: string): boolean;
  /** Whether all there is of pattern is known, so that what is not known is not there. */
  whole(pattern: string): boolean;
  /** Has pattern known whole, as soon as the stream follows it, until the function it returns is called. */
  watch(pattern: string): () => void;
  /** Takes a message of the stream, in the stream's order. */
  receive(message: Message): void;
  /** Asks for what is there of a topic, at version at least, or of a pattern; unless that is being done. */
  ask(pattern: string, version: number): void;
  /** Takes what an earlier page knew: it counts until the hub says anything. */
  recall(entities: readonly Entity[]): void;
  close(): void;
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

/** Whether all topics of the pattern inner are of outer. */
const covers = (outer: string, inner: string): boolean => matches(outer, inner) && (outer.endsWith("**") || !inner.endsWith("**"));

/**
 * Returns bases that know nothing. They call advanced when one is another, with its data until then and the change that made it, if an
 * event did; and completed when more patterns are known whole.
 */
export function basesOf(
  { fetch, list, clock, follows }: Source,
  advanced: (base: Base, before: JsonObject | null, change?: Change) => void,
  completed: () => void,
): Bases {
  const bases = new Map<string, Base>();
  const asking = new Map<string, Asking>(); // by topic, and by pattern for all of its entities
  const watched = new Map<object, string>();
  let wholes: readonly string[] = []; // patterns of which all is known
  let snapshot: Set<string> | undefined; // the topics of the one that comes

  const set = (base: Base, change?: Change): void => {
    const before = bases.get(base.topic);
    bases.set(base.topic, base);
    advanced(base, before?.data ?? null, change);
  };
  /** What is known of a topic for certain. */
  const known = (topic: string): Base | undefined => {
    const base = bases.get(topic);
    return base?.cached ? undefined : base;
  };
  const followed = (pattern: string): boolean => follows.some((outer) => covers(outer, pattern));
  const whole = (pattern: string): boolean => wholes.some((outer) => covers(outer, pattern));

  const hear = (change: Change): void => {
    const { topic, version } = change;
    const waiting = asking.get(topic);
    if (waiting) return void waiting.later.push(change);
    const base = known(topic);
    if (base && version <= base.version) return; // R5: heard before
    // Nothing is missing before the first version; and nothing of what was before survives in an entity that a put creates.
    if (change.base !== (base?.version ?? 0)) return ask(topic, version);
    set({ topic, version, data: change.op === "delete" ? null : merge(base?.data ?? {}, (change.patch ?? {}) as JsonObject) }, change);
  };

  /** Takes what is told of an entity whole, unless more is known. */
  const take = (entity: Base): void => {
    const { topic, version } = entity;
    const waiting = asking.get(topic);
    const answered = waiting && waiting.version <= version;
    if (answered) forget(topic);
    if (version >= (known(topic)?.version ?? 0)) set(entity);
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
      const all = [found ?? { topic: pattern, version: Math.max(version, known(pattern)?.version ?? 0), data: null }].flat();
      if (all.some((entity) => entity.version < own.version)) return send(pattern, own); // heard of more meanwhile
      forget(pattern);
      for (const entity of all) take({ ...entity, asked: true });
      own.later.forEach(hear);
      const there = new Set(all.map(({ topic }) => topic));
      for (const { topic, version: last, data, cached } of bases.values()) {
        if (data && !there.has(topic) && matches(pattern, topic)) ask(topic, cached ? 0 : last);
      }
      if ([...watched.values()].includes(pattern)) complete(pattern);
    };
    asking.set(pattern, own);
    again(answerWithin);
    (pattern.includes("*") ? list : fetch)(pattern)
      .then((found) => () => answered(found), () => () => again(Math.min(retryAfter * 2 ** own.tries++, retryWithin)))
      .then((then) => asking.get(pattern) === own && then());
  };

  /** Asks no more. */
  const forget = (pattern: string): void => {
    asking.get(pattern)?.alarm();
    asking.delete(pattern);
  };

  const complete = (...more: readonly string[]): void => {
    wholes = [...wholes.filter(followed), ...more];
    completed();
  };

  const load = (pattern: string): void => {
    // Before the stream follows it, what came between would be missed.
    if (followed(pattern) && !whole(pattern) && !snapshot) ask(pattern, 0);
  };
  const close = (): void => [...asking.keys()].forEach(forget);

  return {
    get: (topic) => bases.get(topic),
    topics: () => bases.keys(),
    follow: (patterns) => void (follows = patterns),
    followed,
    whole,
    ask,
    close,
    watch(pattern) {
      const own = {};
      watched.set(own, pattern);
      load(pattern);
      return () => void watched.delete(own);
    },
    receive(message) {
      switch (message.kind) {
        case "event":
          if (!message.change) break;
          snapshot?.add(message.topic); // what is replayed behind it was created since
          hear({ ...message.change, topic: message.topic });
          break;
        case "snapshot":
          snapshot = new Set();
          break;
        case "entity":
          snapshot?.add(message.topic);
          // It is of one moment; what was asked for may be newer, and what comes behind the snapshot leads there.
          take({ topic: message.topic, version: message.version, data: message.data as JsonObject | null });
          break;
        case "live": {
          const there = snapshot;
          snapshot = undefined;
          for (const { topic, version, data, cached, asked } of there ? bases.values() : []) {
            if (!data || there?.has(topic) || !followed(topic)) continue;
            if (asked) ask(topic, version);
            else set({ topic, version: cached ? 0 : version, data: null });
          }
          complete(...(there ? follows : []));
          watched.forEach(load);
          break;
        }
        case "reset":
          close(); // what was heard is from before the hole
          wholes = [];
          for (const base of bases.values()) {
            const kept = message.reason === "epoch" ? { ...base, version: 0, cached: true } : base; // versions begin anew
            bases.set(base.topic, kept);
            // A snapshot that follows brings what the stream follows.
            if (message.cursor || !followed(base.topic)) ask(base.topic, kept.version);
          }
      }
    },
    recall(entities) {
      for (const { topic, version, data } of entities) if (!bases.has(topic) && !whole(topic)) set({ topic, version, data, cached: true });
    },
  };
}
