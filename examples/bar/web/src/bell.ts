// New orders that a station must confirm: critical events. They ring and stay until somebody presses a button.
import type { Client, RoxyEvent } from "@roxy/sdk";
import type { Observable } from "@roxy/sdk/store";
import type { OrderNew, RoxyEvents } from "./roxy.gen.ts";
import { createSignal } from "./signal.ts";

/** A new order that nobody at this station has confirmed. */
export interface Ring {
  /** What confirms it. */
  readonly id: string;
  /** The topic of the order. */
  readonly order: string;
  readonly data: OrderNew;
  /** How often the hub has said it by now. */
  readonly attempt: number;
}

export interface Bell {
  readonly rings: Observable<readonly Ring[]>;
  /** Confirms it: the hub stops repeating it, and the manager is not alarmed. */
  confirm(id: string): void;
  close(): void;
}

/** Hears the critical events of new orders. */
export function createBell(client: Client<RoxyEvents>): Bell {
  const rings = createSignal<readonly Ring[]>([]);
  const stop = client.subscribe("order:new", (event: RoxyEvent<"order:new", OrderNew>) => {
    const { ack, attempt = 1, data, topic } = event;
    if (!ack || event.change) return;
    const others = rings.get().filter(({ id }) => id !== ack.id);
    rings.set([...others, { id: ack.id, order: topic, data, attempt }]);
  });
  return {
    rings,
    confirm(id) {
      client.confirm(id);
      rings.set(rings.get().filter((ring) => ring.id !== id));
    },
    close: stop,
  };
}
