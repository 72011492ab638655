import { beyond, parseCursor } from "../core/cursor.ts";
import type { Timer } from "../core/clock.ts";
import type { Block, Link, Sink, StreamRequest, Transport } from "../core/transport.ts";
import type { Company, Part } from "./leader.ts";
import { covers, heardBy, membersOf, type Told } from "./words.ts";

/** How long the leader has to answer before a tab opens a stream of its own without it. The leader's comes first: six may be open. */
const ANSWER = 2_000;
/** What is relayed while the own stream is catching up is held back up to so many; what comes behind is asked for anew. */
const HELD = 1_000;

/**
 * Opens a stream of its own up to where the leader's can take over, then hears what is relayed. Without a leader that answers
 * the own stream stays. It never has the device, which has one live stream: that of the leader.
 */
export function follow(company: Company, transport: Transport, request: StreamRequest, sink: Sink): Part {
  const { clock } = request.platform;
  let own: Link | undefined;
  let relayed = false;
  let over = false;
  let live = false;
  let position = parseCursor(request.after);
  let hello: Block | undefined;
  let leader: Told | undefined;
  let held: Block[] = []; // relayed behind leader.at
  let waiting: Timer;

  const ask = (): void => {
    const at = live ? position?.text : undefined;
    company.post({ kind: "ask", tab: company.tab, topics: request.topics, types: request.types, at });
  };

  const give = (blocks: readonly Block[]): void => {
    for (const block of blocks) {
      const at = parseCursor(block.id);
      if (beyond(at, position)) position = at;
      if (block.event === "roxy:hello") hello = block;
    }
    sink.blocks(blocks);
  };

  const close = (): void => {
    over = true;
    clock.clear(waiting);
    own?.close();
  };
  const renew = (): void => {
    if (over) return;
    close();
    sink.ended({ renew: "tabs" });
  };

  /** The leader's stream, told as one that begins here: what comes until it is live is catching up. */
  const greeting = ({ hello: told }: Told): Block => ({ event: "roxy:hello", data: { ...membersOf(told ?? hello!), cursor: position!.text } });
  const fits = (told: Told): boolean => told.at !== undefined && !beyond(parseCursor(told.at), position) && covers(told, request);

  const handOver = (): void => {
    if (!own || !live || !leader || !fits(leader)) return;
    own.close();
    own = undefined;
    relayed = true;
    // What has no place in the log came by the own stream, but for what goes to the device alone.
    const behind = held.filter(({ event, id, data }) => id || event.startsWith("roxy:") || membersOf({ event, data })["ack"]);
    held = [];
    const caughtUp: Block[] = leader.live ? [{ event: "roxy:live", data: { replayed: 0 } }] : [];
    give([greeting(leader), ...behind.map(heard), ...caughtUp]);
  };

  const heard = (block: Block): Block =>
    // How the leader's stream ends is for the leader to judge; but the device is taken from all.
    block.event === "roxy:bye" && membersOf(block)["reason"] !== "replaced" ? { ...block, event: "roxy:id" } : heardBy(request, block);

  const open = (): void => {
    clock.clear(waiting);
    own = transport.open(
      { ...request, device: undefined },
      {
        ...sink,
        blocks(blocks) {
          give(blocks);
          if (over) return;
          if (blocks.some(({ event }) => event === "roxy:live")) {
            live = true;
            ask();
          }
          handOver();
        },
      },
    );
  };

  waiting = clock.set(open, ANSWER);
  ask();

  return {
    close,
    hear: (type) => own?.hear?.(type),
    regard: renew,
    hears(word) {
      if (over || word.kind === "ask") return;
      if (word.kind === "told") {
        if (relayed) {
          if (word.to !== undefined) return;
          if (!fits(word)) renew();
          else if (!word.live) give([greeting(word)]);
        } else if (word.at !== undefined) {
          leader = word;
          held = [];
          if (own) handOver();
          else open();
        } else if (own && word.to === undefined) renew(); // the leader begins: six streams of others would keep it from it
        return;
      }
      const reset = word.blocks.findIndex(({ event }) => event === "roxy:reset");
      if (relayed) {
        sink.alive();
        give((reset < 0 ? word.blocks : word.blocks.slice(0, reset)).map(heard));
        if (reset >= 0) renew(); // the hub tells each tab itself what it missed, and brings it a snapshot
      } else if (leader) {
        held.push(...word.blocks);
        if (reset >= 0 || held.length > HELD) leader = undefined;
      }
    },
  };
}
