// What the hub has said of entities: the base of each, kept up by events, snapshots and, where something is missing, by asking.
import type { Clock, Timer } from "../core/clock.ts";
import type { Change as Commit, Message, ResetMessage } from "../core/messages.ts";
import { matches } from "../core/topic.ts";
import type { Entity } from "../outbox/wire.ts";
import type { Base } from "./fold.ts";
import { type JsonObject, keep, merge } from "./json.ts";

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
  follows: readonly string[];
  /** The base of topic is another one; before is its data until now, change what made it, if an event did. */
  advanced(topic: string, before: JsonObject | null, change?: Change): void;
  /** More patterns are known whole. */
  complete(): void;
  /** The log was lost: versions begin anew. */
  lost(): void;
}

/** The bases of all entities that are known. */
export interface Bases {
  get(topic: string): Base | undefined;
  topics(): string[];
  /** Whether all there is of pattern is known, so that what is not known is not there. */
  whole(pattern: string): boolean;
  /** Has pattern known whole, as soon as the stream follows it, until the function it returns is called. */
  watch(pattern: string): () => void;
  /** Takes a message of the stream, in the stream's order. */
  receive(message: Message): void;
  /** Makes sure that topic is known up to version, by asking for it unless it is already. */
  need(topic: string, version: number): void;
  /** Takes what an earlier page knew: it counts until the hub says anything. */
  recall(entities: readonly Entity[]): void;
  close(): void;
}

interface Asking {
  /** The version that the answer must have, at least. */
  version: number;
  /** Events that came meanwhile. */
  readonly later: Change[];
  timer?: Timer;
  tries: number;
}

/** A fetch without an answer for this long is made again. */
const answerWithin = 10_000;
/** How long to wait after a fetch that failed: twice as long each time, up to the second. */
const [retryAfter, retryWithin] = [1000, 30_000];

/** Whether all topics of the pattern inner are of outer. */
const covers = (outer: string, inner: string): boolean => matches(outer, inner) && (outer.endsWith("**") || !inner.endsWith("**"));

/** Returns bases that know nothing. */
export function basesOf(source: Source): Bases {
  const bases = new Map<string, Base>();
  const asking = new Map<string, Asking>(); // by topic, and by pattern for all of its entities
  const asked = new Set<string>(); // topics whose base came by asking: it may be ahead of the stream
  const watched = new Map<object, string>();
  let wholes: readonly string[] = []; // patterns of which all is known
  let snapshot: Set<string> | undefined; // the topics of the one that comes
  let reset: ResetMessage["reason"] | undefined;
  let closed = false;

  const set = (topic: string, version: number, data: JsonObject | null, change?: Change): void => {
    const before = bases.get(topic)?.data ?? null;
    // References stay where nothing changed, so that a snapshot of the same renders nothing.
    bases.set(topic, { version, data: before && data ? keep(before, data) : data });
    source.advanced(topic, before, change);
  };
  /** What is known of a topic for certain. */
  const known = (topic: string): Base | undefined => {
    const base = bases.get(topic);
    return base?.cached ? undefined : base;
  };
  const followed = (pattern: string): boolean => source.follows.some((p) => covers(p, pattern));
  const whole = (pattern: string): boolean => wholes.some((p) => covers(p, pattern));

  const change = (c: Change): void => {
    const waiting = asking.get(c.topic);
    if (waiting) return void waiting.later.push(c);
    const base = known(c.topic);
    if (base && c.version <= base.version) return; // R5: heard before
    // Nothing is missing before the first version; and nothing of what was before survives in an entity that a put creates.
    if (c.base !== (base?.version ?? 0)) return ask(c.topic, c.version);
    const data = c.op === "delete" ? null : merge(base?.data ?? {}, (c.patch ?? {}) as JsonObject);
    asked.delete(c.topic);
    set(c.topic, c.version, data, c);
  };

  const ask = (topic: string, version: number): void => {
    const waiting = asking.get(topic);
    if (waiting) {
      waiting.version = Math.max(waiting.version, version);
      return;
    }
    const next: Asking = { version, later: [], tries: 0 };
    asking.set(topic, next);
    void fetch(topic, next);
  };

  const fetch = async (topic: string, own: Asking): Promise<void> => {
    const { version } = own;
    const again = (ms: number): void => {
      source.clock.clear(own.timer);
      own.timer = source.clock.set(() => void fetch(topic, own), ms);
    };
    const over = (): boolean => closed || asking.get(topic) !== own;
    again(answerWithin);
    const answer = topic.includes("*")
      ? source.list(topic).then((all) => () => listed(topic, all))
      : source.fetch(topic).then((entity) => () => fetched(topic, own, version, entity));
    let take: () => void;
    try {
      take = await answer;
    } catch {
      if (!over()) again(Math.min(retryAfter * 2 ** own.tries++, retryWithin));
      return;
    }
    if (!over()) take();
  };

  const fetched = (topic: string, own: Asking, version: number, entity: Entity | undefined): void => {
    const base = known(topic);
    // Nothing there has no version: it is at least the one that was heard of.
    const found = entity ?? { version: Math.max(version, base?.version ?? 0), data: null };
    if (found.version < own.version) return void fetch(topic, own); // heard of more meanwhile
    done(topic);
    asked.add(topic);
    if (!base || found.version >= base.version) set(topic, found.version, found.data);
    own.later.forEach(change);
    if ([...watched.values()].includes(topic)) complete([topic]);
  };

  const done = (topic: string): void => {
    source.clock.clear(asking.get(topic)?.timer);
    asking.delete(topic);
  };
  const forget = (): void => [...asking.keys()].forEach(done);

  const complete = (more: readonly string[]): void => {
    wholes = [...wholes.filter(followed), ...more];
    source.complete();
  };

  const listed = (pattern: string, all: readonly Entity[]): void => {
    done(pattern);
    const there = new Set(all.map(({ topic }) => topic));
    for (const e of all) {
      const base = known(e.topic);
      if ((base && base.version >= e.version) || asking.has(e.topic)) continue; // (its own answer is a later one)
      asked.add(e.topic);
      set(e.topic, e.version, e.data);
    }
    for (const [topic, { version, data, cached }] of bases) {
      if (data && !there.has(topic) && matches(pattern, topic)) ask(topic, cached ? 0 : version);
    }
    complete([pattern]);
  };

  const entity = (e: Entity): void => {
    snapshot?.add(e.topic);
    const base = known(e.topic);
    // A snapshot is of one moment; what was asked for may be newer, and what comes behind the snapshot leads there.
    if (base && base.version > e.version && reset !== "epoch") return;
    if ((asking.get(e.topic)?.version ?? Infinity) <= e.version) done(e.topic);
    asked.delete(e.topic);
    set(e.topic, e.version, e.data);
  };

  const live = (): void => {
    for (const [topic, { version, data, cached }] of [...bases]) {
      if (!snapshot || !followed(topic)) {
        if (reset) refetch(topic, version);
      } else if (!snapshot.has(topic) && data) {
        if (asked.has(topic)) refetch(topic, version);
        else set(topic, cached ? 0 : version, null);
      }
    }
    if (reset) wholes = [];
    complete(snapshot ? source.follows : []);
    snapshot = reset = undefined;
    for (const pattern of watched.values()) load(pattern);
  };

  const refetch = (topic: string, version: number): void => {
    if (reset === "epoch") bases.set(topic, { ...(bases.get(topic) as Base), version: 0 });
    ask(topic, reset === "epoch" ? 0 : version);
  };

  const load = (pattern: string): void => {
    // Before the stream follows it, what came between would be missed.
    if (followed(pattern) && !whole(pattern) && !snapshot && !reset) ask(pattern, 0);
  };

  return {
    get: (topic) => bases.get(topic),
    topics: () => [...bases.keys()],
    whole,
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
          change({ ...message.change, topic: message.topic });
          break;
        case "snapshot":
          snapshot = new Set();
          break;
        case "entity":
          entity({ topic: message.topic, version: message.version, data: message.data as JsonObject | null });
          break;
        case "live":
          live();
          break;
        case "reset":
          reset = reset === "epoch" ? reset : message.reason;
          forget(); // what was heard is from before the hole
          if (reset === "epoch") source.lost();
      }
    },
    need(topic, version) {
      if ((bases.get(topic)?.version ?? -1) < version) ask(topic, version);
    },
    recall(entities) {
      for (const { topic, version, data } of entities) {
        if (bases.has(topic)) continue;
        bases.set(topic, { version, data, cached: true });
        source.advanced(topic, null);
      }
    },
    close() {
      closed = true;
      forget();
    },
  };
}
