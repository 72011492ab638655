import type { Client } from "../core/client.ts";
import type { Timer } from "../core/clock.ts";
import type { Message, RoxyEvent } from "../core/messages.ts";
import { createObservable, createRun } from "../core/observable.ts";
import { matches } from "../core/topic.ts";
import type { Readable } from "../store/store.ts";

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
  readonly last: Readable<RoxyEvent | null>;
}

/** The place of a subscription that was given up, and what came for it since. */
interface Place {
  readonly type: string;
  readonly topic: string | undefined;
  readonly missed: RoxyEvent[];
  readonly timer: Timer;
}

export function createHearing(client: Client): Hearing {
  const { clock } = client.platform;
  const left = new Set<Place>();
  const last = createObservable<RoxyEvent | null>(null, createRun(client.platform.report));
  let listening = false;

  const take = (batch: readonly Message[]): void => {
    const events = batch.filter((message) => message.kind === "event");
    for (const place of left) place.missed.push(...events.filter((event) => keeps(place, event)));
    if (events.length > 0) last.set(events.at(-1)!);
  };
  const keeps = ({ type, topic }: Place, event: RoxyEvent): boolean =>
    (type === "*" || type === event.type) && (topic === undefined || matches(topic, event.topic)) && !(event.ack && client.device);

  // Not before a component is there: to render tells nobody.
  const listen = (): void => {
    if (!listening) client.messages(take);
    listening = true;
  };

  const hear = (type: string, topic: string | undefined, handler: Handler): (() => void) => {
    listen();
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
    last: {
      getSnapshot: last.get,
      subscribe(listener) {
        listen();
        return last.subscribe(listener);
      },
    },
  };
}
