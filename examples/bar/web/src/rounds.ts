// What was fired must be confirmed by its station: a critical event for each, said once the hub has the lines. What waits
// to be said survives a reload and an hour in the cellar, as the changes themselves do.
import type { Client, PublicationOf } from "@roxy/sdk";
import type { Entities } from "@roxy/sdk/entities";
import { known } from "./model/orders.ts";
import type { OrderNew, RoxyEntities, RoxyEvents } from "./roxy.gen.ts";

/** Lines that were fired together, for one station. */
export interface Round {
  readonly order: `orders/${string}`;
  readonly firedAt: string;
  readonly data: OrderNew;
}

export interface Rounds {
  /** The station is to hear of it as soon as the hub has its lines; never, if the hub refuses them. */
  add(rounds: readonly Round[]): void;
  close(): void;
}

/** So long a station has for each of so many deliveries, twice as long each time, before the manager is alarmed. */
const ACK = { by: "any", within: "20s", attempts: 3 } as const;

export function createRounds(client: Client<RoxyEvents>, entities: Entities<RoxyEntities>, storage: Storage, key: string): Rounds {
  let waiting = JSON.parse(storage.getItem(key) ?? "[]") as readonly Round[];
  const saying = new Set<Round>();
  const lines = entities.collection("lines/*");

  const keep = (next: readonly Round[]): void => {
    waiting = next;
    storage.setItem(key, JSON.stringify(next));
  };

  const say = async (round: Round): Promise<void> => {
    saying.add(round);
    const { order, firedAt, data } = round;
    const publication: PublicationOf<RoxyEvents> = {
      topic: order,
      type: "order:new",
      data,
      id: `${order} ${data.station} ${firedAt}`, // whoever says it again says it once
      to: { roles: [data.station] },
      ack: ACK,
      urgent: true,
      correlation: order,
    };
    try {
      await client.publish(publication);
      keep(waiting.filter((other) => other !== round));
    } catch {
      // No answer for half a minute: again when the stream is back.
    } finally {
      saying.delete(round);
    }
  };

  const look = (): void => {
    if (waiting.length === 0 || client.continuity.get() !== "ok") return;
    for (const round of waiting) {
      if (saying.has(round)) continue;
      const mine = lines.get().filter(known).filter(({ data }) => data.order === round.order && data.firedAt === round.firedAt);
      if (mine.some(({ pending }) => pending.length > 0)) continue;
      if (mine.length > 0) void say(round);
      else keep(waiting.filter((other) => other !== round)); // refused, or taken back
    }
  };
  const stops = [lines.subscribe(look), client.continuity.subscribe(look)];

  return {
    add(rounds) {
      keep([...waiting, ...rounds]);
      look();
    },
    close: () => stops.forEach((stop) => stop()),
  };
}
