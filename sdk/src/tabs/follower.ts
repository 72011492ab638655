import { createAlarm } from "../core/clock.ts";
import { beyond, parseCursor } from "../core/cursor.ts";
import type { Block, Link, Sink, StreamRequest, Transport } from "../core/transport.ts";
import type { Company, Part } from "./leader.ts";
import { covers, heardBy, membersOf, type Relayed, type Told } from "./words.ts";

/** How long the leader has to answer before a tab opens a stream of its own without it. */
const ANSWER = 2_000;
/** And how long it has to connect when it answers. The leader comes first: a browser has six connections for all tabs together. */
const CONNECT = 10_000;
/** So long an absence of the leader's stream is nobody's concern: a hub that restarts hears of each name once. */
const SHORT = 5_000;
/** What is relayed while the own stream is catching up is held back up to so many blocks; the leader is asked anew behind them. */
const HELD = 1_000;

/**
 * Opens a stream of its own up to where the leader's can take over, then hears what is relayed. Without a leader that answers
 * the own stream stays. It never has the device, which has one live stream: that of the leader.
 */
export function follow(company: Company, transport: Transport, request: StreamRequest, sink: Sink): Part {
  const { topics, types } = request;
  let own: Link | undefined;
  let live = false; // the own stream has caught up
  let relayed = false; // and the leader's has taken over
  let position = parseCursor(request.after);
  let hello: Block | undefined;
  let leader: Told | undefined;
  let held: Block[] = []; // what was relayed behind leader.at
  const alarm = createAlarm(request.platform.clock); // when too little is heard of the leader

  const ask = (at?: string): void => company.post({ tab: company.tab, topics, types, at });

  const close = (): void => {
    alarm();
    own?.close();
    own = undefined;
  };

  const renew = (): void => {
    close();
    sink.ended({ renew: "tabs" });
  };

  const give = (blocks: readonly Block[]): void => {
    for (const block of blocks) {
      const at = parseCursor(block.id);
      if (beyond(at, position)) position = at;
      if (block.event === "roxy:hello") hello = block;
    }
    sink.blocks(blocks);
  };

  /** Tells of the leader's stream as of one that begins here: what comes until it is live is catching up. */
  const greet = (told: Told, behind: Block[] = []): void => {
    if (told.live) behind.push({ event: "roxy:live", data: {} });
    give([{ event: "roxy:hello", data: { ...membersOf(told.hello ?? hello!), cursor: position!.text } }, ...behind]);
    if (!told.live) alarm(renew, SHORT);
  };

  const fits = (told: Told): boolean => !!told.at && !beyond(parseCursor(told.at), position) && covers(told, request);

  const heard = (block: Block): Block =>
    // How the leader's stream ends is for the leader to judge; but the device is taken from all.
    block.event === "roxy:bye" && membersOf(block)["reason"] !== "replaced" ? { ...block, event: "roxy:id" } : heardBy(request, block);

  const handOver = (): void => {
    if (!live || !leader || !fits(leader)) return;
    own?.close();
    relayed = true;
    // What has no place in the log came by the own stream, but for the hub's own word.
    greet(leader, held.filter(({ event, id }) => id || event.startsWith("roxy:")).map(heard));
  };

  const open = (): void => {
    alarm();
    own = transport.open(
      { ...request, device: undefined },
      {
        ...sink,
        blocks(blocks) {
          give(blocks);
          if (!own) return; // the app closed it
          if (blocks.some(({ event }) => event === "roxy:live")) {
            live = true;
            ask(position?.text);
          }
          handOver();
        },
        ended(end) {
          if (!relayed) sink.ended(end);
        },
      },
    );
  };

  const told = (word: Told): void => {
    if (word.to && (relayed || word.from === leader?.from)) return; // what was told to all says more
    const before = leader;
    leader = word;
    held = [];
    if (relayed) {
      if (!fits(word)) return renew();
      if (word.live) alarm();
      if (word.from !== before?.from || (before.live && !word.live)) greet(word); // not with each attempt of the same leader
    } else if (!own) {
      if (word.live) open();
      else if (!before) alarm(open, CONNECT);
    } else if (word.at) {
      handOver();
      if (live && !relayed && !word.to) ask(position?.text); // a leader that is new may not have heard of it
    } else if (!word.to) renew(); // the leader begins: streams of others may keep it from it
  };

  const relay = ({ from, blocks }: Relayed): void => {
    if (from !== leader?.from) return;
    // The hub tells each tab itself what it missed, and brings it a snapshot: what follows is heard when it is told where it begins.
    if (blocks.some(({ event }) => event === "roxy:reset")) leader = undefined;
    else if (relayed) {
      sink.alive();
      give(blocks.map(heard));
    } else if (held.push(...blocks) > HELD) leader = undefined;
  };

  alarm(open, ANSWER);
  ask();

  return {
    close,
    regard: renew,
    hears(word) {
      if ("blocks" in word) relay(word);
      else if ("tabs" in word) told(word);
    },
  };
}
