import { type Cursor, parseCursor } from "../core/cursor.ts";
import type { Block, Link, Sink, StreamRequest, Transport } from "../core/transport.ts";
import { covers, earlier, heardBy, membersOf, reaches, type Want, type Word } from "./words.ts";

/** What a tab knows of the others. */
export interface Company {
  /** Names this tab. */
  tab: string;
  /** What the other tabs want that have a right to it. */
  tabs: Map<string, Want>;
  /** From where the next stream of the leader must begin, for who was not carried before. */
  floor: Cursor | undefined;
  /** The hub refused what the tabs want together: each has its own stream. */
  apart: boolean;
  post(word: Word): void;
}

/** A link that hears the other tabs. */
export interface Part extends Link {
  hears(word: Word): void;
  /** Others came or went, or the tab leads from now on. */
  regard(): void;
}

/** A hub takes no more of either in one stream. */
const MOST = 64;

/** Opens the stream for all, and relays it. */
export function lead(company: Company, transport: Transport, request: StreamRequest, sink: Sink): Part {
  const union = (): Want => {
    let all: Want = request;
    for (const want of company.apart ? [] : company.tabs.values()) {
      const topics = [...all.topics, ...want.topics.filter((topic) => !reaches(all.topics, topic))];
      if (topics.length > MOST) continue; // that tab keeps a stream of its own
      const types = all.types.length > 0 && want.types.length > 0 ? [...new Set([...all.types, ...want.types])] : [];
      all = { topics, types: types.length > MOST ? [] : types };
    }
    return all;
  };
  // A native EventSource hears only what its own page listens to: others cannot rely on it.
  const shares = transport.name !== "eventsource";
  const all = shares ? union() : request;
  const { topics, types } = shares ? all : { topics: [], types: [] };
  let at = earlier(parseCursor(request.after), company.floor);
  company.floor = undefined;
  let hello: Block | undefined;
  let live = false;
  let over = false;

  const tell = (to?: string): void => company.post({ kind: "told", to, at: at?.text, hello, live, topics, types, tabs: company.tabs });

  const done = (): boolean => {
    if (over) return false;
    over = true;
    live = false;
    if (at) tell();
    return true;
  };
  const close = (): void => {
    if (done()) inner.close();
  };
  const renew = (): void => {
    close();
    sink.ended({ renew: "tabs" });
  };

  tell(); // before there is an answer: who is carried from here on makes room for it
  const inner = transport.open(
    { ...request, topics: all.topics, types: all.types, after: at?.text ?? request.after },
    {
      ...sink,
      blocks(blocks) {
        let caughtUp = false;
        for (const block of blocks) {
          const id = parseCursor(block.id);
          if (block.event === "roxy:hello") {
            hello = block;
            at = parseCursor(String(membersOf(block)["cursor"]));
          } else if (block.event === "roxy:reset") at = id; // none when a snapshot follows
          else at = id ?? at;
          caughtUp ||= block.event === "roxy:live";
        }
        live ||= caughtUp;
        company.post({ kind: "relayed", blocks });
        if (caughtUp) tell();
        sink.blocks(blocks.map((block) => heardBy(request, block)));
      },
      ended(end) {
        done();
        const status = end.problem?.status;
        // What is refused to all together may not be refused to each: a token of other roles, a pattern too many.
        const apart = (status === 400 || status === 403) && key(all) !== key(request);
        company.apart ||= apart;
        sink.ended(apart ? { renew: "apart" } : end);
      },
    },
  );

  return {
    close,
    hear: (type) => inner.hear?.(type),
    regard() {
      if (!over && shares && key(union()) !== key(all)) renew();
    },
    hears(word) {
      if (over || !shares || word.kind !== "ask") return;
      if (word.at && !covers(all, word) && covers(union(), word)) return renew();
      company.floor = undefined;
      if (at) tell(word.tab);
    },
  };
}

/** Tells apart what is asked for, in whatever order. */
function key({ topics, types }: Want): string {
  return JSON.stringify([[...topics].sort(), [...types].sort()]);
}
