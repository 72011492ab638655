// What happens in the house, as it happens: every event that this person may hear, the newest first.
import type { Client, RoxyEvent } from "@roxy/sdk";
import type { Readable } from "@roxy/sdk/store";
import type { RoxyEvents } from "./roxy.gen.ts";
import { createSignal } from "./signal.ts";

const KEPT = 60;

export interface Feed {
  readonly events: Readable<readonly RoxyEvent[]>;
  close(): void;
}

export function createFeed(client: Client<RoxyEvents>): Feed {
  const events = createSignal<readonly RoxyEvent[]>([]);
  const stop = client.messages((batch) => {
    const told = batch.filter((message) => message.kind === "event");
    if (told.length > 0) events.set([...told.reverse(), ...events.getSnapshot()].slice(0, KEPT));
  });
  return { events, close: stop };
}
