import { createAlarm } from "../core/clock.ts";
import { beyond, parseCursor } from "../core/cursor.ts";
import type { Block, End, Link, Sink, StreamRequest, Transport } from "../core/transport.ts";
import { covers, heardBy, membersOf, union, type Relayed, type Stand, type Unsigned, type Want, type Word } from "./words.ts";

/** How long the leader has to answer before a tab opens a stream of its own without it. */
const ANSWER = 2_000;
/**
 * And how long to be live when it answers. The leader comes first: a browser has six connections for all tabs together, and a hub
 * that restarts hears of each name once.
 */
const SHORT = 5_000;

/** What a tab knows of the others. */
export interface Company {
  /** What the other tabs want that have a right to it. */
  readonly tabs: Map<string, Want>;
  /** The hub refused what the tabs want together: each has its own stream. */
  apart: boolean;
  /** The last one that this tab heard. */
  hello?: Block;
  leads(): boolean;
  /** Says something to the others, under this tab's name. */
  post(word: Unsigned<Stand> | Unsigned<Relayed>): void;
}

/** A link that hears the other tabs. */
export interface Part {
  close(): void;
  hear(word: Word): void;
  /** Connects anew if something else is to be asked for: others are gone, or this tab leads from now on. */
  renew(): void;
}

/**
 * Takes a tab's part in the stream of all. The leader opens it, and relays what comes. Another tab opens one of its own up to
 * where the leader's can take over, then hears what is relayed; without a leader that answers its own stream stays. It never has
 * the device, which has one live stream: that of the leader.
 */
export function takePart(company: Company, transport: Transport, request: StreamRequest, sink: Sink): Part {
  const alarm = createAlarm(request.platform.clock); // when too little is heard of the leader
  let leads = false;
  let asked: Want = request;
  let at = parseCursor(request.after);
  let link: Link | undefined;
  let live = false; // has caught up; without a link, by what is relayed
  let leader: Stand | undefined; // which is to carry this tab, or does
  let held: Block[] = []; // what was relayed since it said where it stands

  const all = (): Want => union(request, company.apart ? [] : company.tabs.values());

  const say = (): void => {
    const { hello } = company;
    const blocks: Block[] = [];
    if (at && hello) {
      blocks.push({ ...hello, id: at, data: { ...membersOf(hello), cursor: at } });
      if (live) blocks.push({ event: "roxy:live", data: {} });
    }
    company.post({ topics: asked.topics, types: asked.types, leads, live, blocks });
  };

  const close = (): void => {
    alarm();
    if (!link) return;
    link.close();
    link = undefined;
    live = false;
    if (leads) say();
  };

  const end = (how: End): void => {
    close();
    sink.ended(how);
  };
  /** Connects, or has the client connect anew. */
  const renew = (): void => (link || live ? end({ renew: "tabs" }) : open());

  const give = (blocks: readonly Block[]): void => {
    for (const block of blocks) {
      const id = parseCursor(block.id);
      if (block.event === "roxy:hello") company.hello = block;
      if (beyond(id, at)) at = id;
      else if (!id && /^roxy:(hello|reset)$/.test(block.event)) at = undefined; // a snapshot follows, or a reset
    }
    sink.blocks(blocks.map((block) => heardBy(request, block)));
  };

  const fits = (): boolean => !!leader && !beyond(leader.blocks[0]!.id, at);

  /** Hears the leader's stream as one that begins where it stands: what comes until it is live is catching up. */
  const follow = (): void => {
    if (!fits()) return;
    link?.close();
    link = undefined;
    alarm(leader!.live ? undefined : renew, SHORT);
    // What has no place in the log came by the own stream, but for the hub's own word.
    give([...leader!.blocks, ...held.filter(({ event, id }) => id || event.startsWith("roxy:"))]);
  };

  const open = (): void => {
    alarm();
    leads = company.leads();
    if (leads) {
      asked = all();
      say(); // before there is an answer: who is carried from here on makes room for it
    }
    link = transport.open(
      { ...request, ...asked, device: leads ? request.device : undefined },
      {
        ...sink,
        blocks(blocks) {
          if (!link) return;
          // How its stream ends is for the leader to judge; but the device is taken from all.
          if (leads) company.post({ blocks: blocks.filter((block) => block.event !== "roxy:bye" || membersOf(block)["reason"] === "replaced") });
          give(blocks);
          if (!link) return; // the app closed it
          if (blocks.some(({ event }) => event === "roxy:live")) {
            live = true;
            say();
          }
          follow();
        },
        ended(how) {
          if (!link) return;
          // What is refused to all together need not be refused to each: tokens may have other roles by now.
          const refused = !covers(request, asked) && [400, 403].includes(how.problem?.status ?? 0);
          company.apart ||= refused;
          end(refused ? { renew: "apart" } : how);
        },
      },
    );
  };

  const told = (stand: Stand): void => {
    const before = leader;
    leader = live && stand.blocks.length > 0 && covers(stand, request) ? stand : undefined;
    held = [];
    if (link) follow();
    else if (!live) alarm(renew, stand.live ? 0 : SHORT);
    else if (!fits()) renew();
    // Not with each attempt of the same leader.
    else if (stand.tab !== before?.tab || (before.live && !stand.live)) follow();
    else if (stand.live) alarm();
  };

  const relay = ({ tab, blocks }: Relayed): void => {
    if (tab !== leader?.tab) return;
    // The hub tells each tab itself what it missed, and brings it a snapshot: what follows is heard when it is told where it begins.
    if (blocks.some(({ event }) => event === "roxy:reset")) leader = undefined;
    else if (link) held.push(...blocks);
    else {
      sink.alive();
      give(blocks);
    }
  };

  if (company.leads()) open();
  else {
    alarm(renew, ANSWER);
    say();
  }

  return {
    close,
    renew() {
      if (!leads || !covers(all(), asked)) renew();
    },
    hear(word) {
      if (!word.topics) relay(word);
      else if (leads === word.leads) return; // one that is carried, too, or a leader before
      else if (word.leads) told(word);
      else if (covers(asked, all())) say();
      else renew();
    },
  };
}
