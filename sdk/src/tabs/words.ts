// What tabs say to each other, and what of a stream is for whom.
import { matches } from "../core/topic.ts";
import type { Block } from "../core/transport.ts";

/** What is asked of a hub. No types are all types. */
export interface Want {
  readonly topics: readonly string[];
  readonly types: readonly string[];
}

/**
 * Where a tab's stream stands. The leader says so when it is opened, is live and has ended, and when it hears of a tab: what
 * comes from then on is relayed, as far as it is of these topics and types. Others say so when they open, and when they are
 * live: from then on they are to be carried, because the hub lets them have what they want.
 */
export interface Stand extends Want {
  readonly tab: string;
  readonly leads: boolean;
  readonly live: boolean;
  /** How a stream would begin that begins there: its hello, whose id is the position; and that it is live. Empty while there is no position. */
  readonly blocks: readonly Block[];
}

/** What came at once on the leader's stream. */
export interface Relayed {
  /** The leader; of two the words may come in any order. */
  readonly tab: string;
  readonly blocks: readonly Block[];
  readonly topics?: undefined;
}

export type Word = Stand | Relayed;

/** A word without the name of who says it. */
export type Unsigned<Said extends Word> = Omit<Said, "tab">;

/** A hub takes no more topics in one stream. */
const TOPICS = 64;

/** Returns what brings all that is wanted; who would make it too much for one stream keeps its own. */
export function union(all: Want, wants: Iterable<Want>): Want {
  const both = (one: readonly string[], other: readonly string[]): string[] => [...new Set([...one, ...other])];
  for (const want of wants) {
    const topics = both(all.topics, want.topics);
    const types = all.types[0] && want.types[0] ? both(all.types, want.types) : [];
    if (topics.length <= TOPICS && !covers(all, want)) all = { topics, types };
  }
  return all;
}

/** Reports whether a stream of given topics and types brings all that is wanted. */
export function covers(given: Want, wanted: Want): boolean {
  if (given.types[0] && !(wanted.types[0] && wanted.types.every((type) => given.types.includes(type)))) return false;
  // Of a topic it is clear what is inside a pattern; a pattern has to be there as it is.
  return wanted.topics.every((topic) => given.topics.some((pattern) => pattern === topic || (!topic.includes("*") && matches(pattern, topic))));
}

/** Returns a block as who wants something hears it: of what is not asked for the id alone, so that the cursor advances. */
export function heardBy(want: Want, block: Block): Block {
  const { event, id } = block;
  if (/^roxy:(?!entity|unacked|presence)/.test(event)) return block;
  const topics = [String(membersOf(block)["topic"] ?? "roxy/presence")]; // the one event that has none
  const types = event === "roxy:entity" ? want.types : [event];
  return covers(want, { topics, types }) ? block : { event: "roxy:id", id, data: null };
}

export function membersOf({ data }: Block): Readonly<Record<string, unknown>> {
  return Object(data);
}
