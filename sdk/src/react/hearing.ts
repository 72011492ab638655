import type { Client } from "../core/client.ts";
import type { Timer } from "../core/clock.ts";
import type { Message, Present, RoxyEvent } from "../core/messages.ts";
import { createObservable, createRun, type Observable } from "../core/observable.ts";
import { matches } from "../core/topic.ts";
import { PRESENCE, presentAfter } from "./presence.ts";

/** How long the place of a subscription is kept: a route that changes and comes back, and a module that is reloaded, are one. */
export const LINGER = 2_000;

/** What handlers of components are called with. */
export type Handler = (event: RoxyEvent) => unknown;

/** What the components of a page hear of a client. One for each client. */
export interface Hearing {
  /**
   * Like subscribe of the client. What came within LINGER since the same subscription was given up comes first. Critical events
   * of a device do not: the hub repeats what was not confirmed.
   */
  hear(type: string, topic: string | undefined, handler: Handler): () => void;
  /** The same with data alone; its identity is the client's. */
  readonly subscribe: (type: string, handler: (data: unknown) => unknown, options?: { readonly topic?: string }) => () => void;
  /** The last event that came. */
  readonly last: Observable<RoxyEvent | null>;
  /** Who has a live stream. The hub is asked while somebody listens. */
  readonly present: Observable<readonly Present[]>;
  /** Begins to listen: not before a component is there, because to render tells nobody. */
  listen(): void;
}

/** Nobody, always the same. */
export const NOBODY: readonly Present[] = [];

/** The place of a subscription that was given up, and what came for it since. */
interface Place {
  readonly type: string;
  readonly topic: string | undefined;
  readonly missed: RoxyEvent[];
  readonly timer: Timer;
}

export function createHearing(client: Client): Hearing {
  const { clock, report } = client.platform;
  const run = createRun(report);
  const left = new Set<Place>();
  const last = createObservable<RoxyEvent | null>(null, run);
  const present = createObservable(NOBODY, run);
  let listening = false;
  let watching = 0;

  const take = (batch: readonly Message[]): void => {
    let now = present.get();
    for (const message of batch) {
      if (message.kind === "event") {
        for (const place of left) if (keeps(place, message)) place.missed.push(message);
        last.set(message);
      }
      // Nobody asked for the list of this connection: what was known is of the past.
      if (message.kind === "live" && !watching) now = NOBODY;
      if (message.kind === "presence") now = presentAfter(now, message);
    }
    present.set(now);
  };
  const keeps = ({ type, topic }: Place, event: RoxyEvent): boolean =>
    (type === "*" || type === event.type) && (topic === undefined || matches(topic, event.topic)) && !(event.ack && client.device);

  const hear = (type: string, topic: string | undefined, handler: Handler): (() => void) => {
    const place = [...left].find((place) => place.type === type && place.topic === topic);
    const missed = place?.missed ?? [];
    if (place) {
      left.delete(place);
      clock.clear(place.timer);
    }
    // An event that is being dispatched right now may be among the missed: it is not to come twice.
    const late = new Set(missed);
    const stop = client.subscribe(type, (event) => (late.delete(event) ? undefined : handler(event)), topic === undefined ? {} : { topic });
    // Behind whoever subscribes, who may need what subscribe returns; what they throw goes where the page's errors go.
    for (const _ of missed) queueMicrotask(() => open && handler(missed.shift()!));
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      stop();
      const timer = clock.set(() => left.delete(mine), LINGER);
      const mine: Place = { type, topic, missed, timer };
      left.add(mine);
    };
  };

  return {
    hear,
    subscribe: (type, handler, { topic } = {}) => hear(type, topic, ({ data }) => handler(data)),
    last,
    present: {
      get: present.get,
      subscribe(listener) {
        watching++;
        const stops = [present.subscribe(listener), client.retain(PRESENCE), () => watching--];
        return () => stops.splice(0).forEach((stop) => stop());
      },
    },
    listen() {
      if (!listening) client.messages(take);
      listening = true;
    },
  };
}
