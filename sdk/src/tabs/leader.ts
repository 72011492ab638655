import { type Cursor, parseCursor } from "../core/cursor.ts";
import type { Block, Link, Sink, StreamRequest, Transport } from "../core/transport.ts";
import { covers, earlier, heardBy, reaches, type Want, type Word } from "./words.ts";

/** What a tab knows of the others. */
export interface Company {
  /** Names this tab. */
  tab: string;
  /** What the other tabs want that have a right to it. */
  tabs: Map<string, Want>;
  /** From where the leader's next stream is to begin, for who was not carried before. */
  floor?: Cursor | undefined;
  /** The hub refused what the tabs want together: each has its own stream. */
  apart: boolean;
  post(word: Word): void;
}

/** A link that hears the other tabs. */
export interface Part extends Link {
  hears(word: Word): void;
  /** Others are gone, or this tab leads from now on. */
  regard(): void;
}

/** A hub takes no more topics in one stream. */
const TOPICS = 64;

/** Opens the stream for all, and relays it. */
export function lead(company: Company, transport: Transport, request: StreamRequest, sink: Sink): Part {
  const union = (): Want => {
    let all: Want = request;
    for (const want of company.apart ? [] : company.tabs.values()) {
      const topics = [...all.topics, ...want.topics.filter((topic) => !reaches(all.topics, topic))];
      const types = all.types.length > 0 && want.types.length > 0 ? [...new Set([...all.types, ...want.types])] : [];
      if (topics.length <= TOPICS) all = { topics, types }; // else that tab keeps a stream of its own
    }
    return all;
  };
  const all = union();
  const { topics, types } = all;
  let at = earlier(parseCursor(request.after), company.floor);
  company.floor = undefined;
  let hello: Block | undefined;
  let live = false;
  let over = false;

  const tell = (to?: string): void => company.post({ from: company.tab, to, at: at?.text, hello, live, topics, types, tabs: company.tabs });

  const close = (): void => {
    if (over) return;
    over = true;
    live = false;
    inner.close();
    if (at) tell();
  };
  const renew = (why: string): void => {
    close();
    sink.ended({ renew: why });
  };

  tell(); // before there is an answer: who is carried from here on makes room for it
  const inner = transport.open(
    { ...request, topics, types, after: at?.text ?? request.after },
    {
      ...sink,
      blocks(blocks) {
        for (const block of blocks) {
          const id = parseCursor(block.id);
          if (block.event === "roxy:hello") hello = block;
          at = /^roxy:(hello|reset)$/.test(block.event) ? id : (id ?? at); // neither has an id when a snapshot follows
        }
        company.post({ from: company.tab, blocks });
        if (blocks.some(({ event }) => event === "roxy:live")) {
          live = true;
          tell();
        }
        sink.blocks(blocks.map((block) => heardBy(request, block)));
      },
      ended(end) {
        // What is refused to all together need not be refused to each: tokens may have other roles by now.
        if (all !== request && [400, 403].includes(end.problem?.status ?? 0)) {
          company.apart = true;
          return renew("apart");
        }
        close();
        sink.ended(end);
      },
    },
  );

  return {
    close,
    regard() {
      if (!covers(union(), all)) renew("tabs");
    },
    hears(word) {
      if (!("tab" in word)) return;
      if (word.at && !covers(all, word) && covers(union(), word)) {
        company.floor = parseCursor(word.at);
        renew("tabs");
      } else if (at) tell(word.tab);
    },
  };
}
