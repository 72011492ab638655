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
  readonly clock: Clock;
  /** The patterns of the stream: what matches none of them is heard of by asking only. */
  follows: readonly string[];
  /** The base of topic is another one; before is its data until now, change what made it, if an event did. */
  advanced(topic: string, before: JsonObject | null, change?: Change): void;
  /** The log was lost: versions begin anew. */
  lost(): void;
}

/** The bases of all entities that are known. */
export interface Bases {
  get(topic: string): Base | undefined;
  topics(): string[];
  /** Takes a message of the stream, in the stream's order. */
  receive(message: Message): void;
  /** Makes sure that topic is known up to version, by asking for it unless it is already. */
  need(topic: string, version: number): void;
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
/** How long to wait after a fetch that failed: twice as long each time. */
const retryAfter = [1000, 2000, 4000, 8000, 16_000, 30_000];

/** Returns bases that know nothing. */
export function basesOf(source: Source): Bases {
  const bases = new Map<string, Base>();
  const asking = new Map<string, Asking>();
  const asked = new Set<string>(); // topics whose base came by asking: it may be ahead of the stream
  let snapshot: Set<string> | undefined; // the topics of the one that comes
  let reset: ResetMessage["reason"] | undefined;
  let closed = false;

  const set = (topic: string, base: Base, change?: Change): void => {
    const before = bases.get(topic)?.data ?? null;
    // References stay where nothing changed, so that a snapshot of the same renders nothing.
    bases.set(topic, { version: base.version, data: before && base.data ? keep(before, base.data) : base.data });
    source.advanced(topic, before, change);
  };

  const change = (c: Change): void => {
    const waiting = asking.get(c.topic);
    if (waiting) return void waiting.later.push(c);
    const known = bases.get(c.topic);
    if (known && c.version <= known.version) return; // R5: heard before
    // Nothing is missing before the first version; and nothing of what was before survives in an entity that a put creates.
    if (c.base !== (known?.version ?? 0)) return ask(c.topic, c.version);
    const data = c.op === "delete" ? null : merge(known?.data ?? {}, (c.patch ?? {}) as JsonObject);
    asked.delete(c.topic);
    set(c.topic, { version: c.version, data }, c);
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
    again(answerWithin);
    let entity: Entity | undefined;
    try {
      entity = await source.fetch(topic);
    } catch {
      if (!closed && asking.get(topic) === own) again(retryAfter[Math.min(own.tries++, retryAfter.length - 1)] as number);
      return;
    }
    if (closed || asking.get(topic) !== own) return;
    source.clock.clear(own.timer);
    const known = bases.get(topic);
    // Nothing there has no version: it is at least the one that was heard of.
    const found = entity ?? { version: Math.max(version, known?.version ?? 0), data: null };
    if (found.version < own.version) return void fetch(topic, own); // heard of more meanwhile
    asking.delete(topic);
    asked.add(topic);
    if (!known || found.version >= known.version) set(topic, { version: found.version, data: found.data });
    for (const c of own.later) change(c);
  };

  const forget = (): void => {
    for (const { timer } of asking.values()) source.clock.clear(timer);
    asking.clear();
  };

  const entity = (e: Entity): void => {
    snapshot?.add(e.topic);
    const known = bases.get(e.topic);
    // A snapshot is of one moment; what was asked for may be newer, and what comes behind the snapshot leads there.
    if (known && known.version > e.version && reset !== "epoch") return;
    const waiting = asking.get(e.topic);
    if (waiting && waiting.version <= e.version) {
      source.clock.clear(waiting.timer);
      asking.delete(e.topic);
    }
    asked.delete(e.topic);
    set(e.topic, { version: e.version, data: e.data });
  };

  const live = (): void => {
    for (const [topic, base] of [...bases]) {
      const followed = source.follows.some((pattern) => matches(pattern, topic));
      if (!snapshot || !followed) {
        if (reset) refetch(topic, base);
      } else if (!snapshot.has(topic) && base.data !== null) {
        if (asked.has(topic)) refetch(topic, base);
        else set(topic, { version: base.version, data: null });
      }
    }
    snapshot = reset = undefined;
  };

  const refetch = (topic: string, base: Base): void => {
    if (reset === "epoch") bases.set(topic, { version: 0, data: base.data });
    ask(topic, reset === "epoch" ? 0 : base.version);
  };

  return {
    get: (topic) => bases.get(topic),
    topics: () => [...bases.keys()],
    receive(message) {
      switch (message.kind) {
        case "event":
          if (message.change) change({ ...message.change, topic: message.topic });
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
    close() {
      closed = true;
      forget();
    },
  };
}
