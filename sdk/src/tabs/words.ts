// What tabs say to each other, and what of a stream is for whom.
import { beyond, type Cursor } from "../core/cursor.ts";
import { matches } from "../core/topic.ts";
import type { Block } from "../core/transport.ts";

/** What is asked of a hub. No types are all types. */
export interface Want {
  readonly topics: readonly string[];
  readonly types: readonly string[];
}

/** A tab asks where the leader's stream stands; with `at`, also to be carried from there on. */
export interface Ask extends Want {
  readonly tab: string;
  /** Up to here the tab's own stream brought everything: the hub lets it have what it wants. */
  readonly at?: string | undefined;
}

/**
 * Where the leader's stream stands: what it brings behind `at` is relayed from now on, as far as it is of these topics and types.
 * It is told when the stream is opened, is live and has ended, and to who asks.
 */
export interface Told extends Want {
  /** The leader. */
  readonly from: string;
  /** Who asked. */
  readonly to?: string | undefined;
  /** Undefined while there is no position. */
  readonly at?: string | undefined;
  readonly hello?: Block | undefined;
  readonly live: boolean;
  /** Who else is carried, for the next leader. */
  readonly tabs: Map<string, Want>;
}

/** What came at once on the leader's stream. */
export interface Relayed {
  /** The leader; of two the words may come in any order. */
  readonly from: string;
  readonly blocks: readonly Block[];
}

export type Word = Ask | Told | Relayed;

/** Reports whether a stream of given topics and types brings all that is wanted. */
export function covers(given: Want, wanted: Want): boolean {
  const types = given.types.length === 0 || (wanted.types.length > 0 && wanted.types.every((type) => given.types.includes(type)));
  return types && wanted.topics.every((topic) => reaches(given.topics, topic));
}

/** Of a topic it is clear what is inside a pattern; a pattern has to be there as it is. */
export function reaches(patterns: readonly string[], topic: string): boolean {
  return patterns.includes(topic) || (!topic.includes("*") && patterns.some((pattern) => matches(pattern, topic)));
}

/** Returns a block as who wants something hears it: of what is not asked for the id alone, so that the cursor advances. */
export function heardBy({ topics, types }: Want, block: Block): Block {
  const { event, id } = block;
  if (/^roxy:(?!entity|unacked|presence)/.test(event)) return block;
  const topic = event === "roxy:presence" ? "roxy/presence" : String(membersOf(block)["topic"]);
  const wanted = topics.some((pattern) => matches(pattern, topic)) && (types.length === 0 || types.includes(event) || event === "roxy:entity");
  return wanted ? block : { event: "roxy:id", id, data: null };
}

export function membersOf({ data }: Block): Readonly<Record<string, unknown>> {
  return Object(data);
}

/** Returns the earlier of two positions; the first when they are of two lives of the log, or there is no second. */
export function earlier(one: Cursor | undefined, other: Cursor | undefined): Cursor | undefined {
  return other && one?.epoch === other.epoch && beyond(one, other) ? other : one;
}
