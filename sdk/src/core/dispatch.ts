import type { Acks } from "./acks.ts";
import { parseCursor } from "./cursor.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import { createListeners, type Run } from "./observable.ts";
import { matches } from "./topic.ts";

/** What runs for each event. What it throws, or its promise, is reported; a critical event then counts as not handled. */
export type Handler = (event: RoxyEvent) => unknown;

interface Subscription {
  readonly type: string;
  readonly topic: string | undefined;
  readonly handler: Handler;
}

/** So many critical events are remembered: as many as a hub keeps open. */
const REMEMBERED = 10_000;

/** Gives messages to handlers, in order, and tells the acknowledgements when these are done. */
export interface Dispatch {
  subscribe(type: string, topic: string | undefined, handler: Handler): () => void;
  /** Calls listener with what came at once, before any handler. */
  messages(listener: (batch: readonly Message[]) => unknown): () => void;
  onReset(handler: (reset: ResetMessage) => unknown): () => void;
  give(batch: readonly Message[]): void;
  /** The types that somebody listens to. */
  heard(): string[];
}

/** Calls resetting when a reset is being handled; its promise tells what became of each handler. */
export function createDispatch(run: Run, acks: Acks | undefined, resetting: (reset: ResetMessage, settled: Promise<boolean[]>) => void): Dispatch {
  const subscriptions = new Set<Subscription>();
  const batches = createListeners<[readonly Message[]]>(run);
  const resets = createListeners<[ResetMessage]>(run);
  /** By ack.id, who has handled a critical event or is about to, so that repeats are for the others alone; null when all have. */
  const bearers = new Map<string, Map<Subscription, Promise<boolean>> | null>();

  const event = (message: RoxyEvent): void => {
    const position = parseCursor(message.cursor);
    const critical = message.ack?.id ?? "";
    const known = bearers.get(critical);
    if (known === null) return acks?.passed(position);
    const mine = known ?? new Map<Subscription, Promise<boolean>>();
    const work = acks?.given(position);
    const results = [...subscriptions]
      .filter(({ type, topic }) => ["*", message.type].includes(type) && matches(topic ?? message.topic, message.topic))
      .map((subscription) => {
        const result = mine.get(subscription) ?? run(() => subscription.handler(message));
        mine.set(subscription, result);
        void result.then((good) => good || mine.delete(subscription));
        return result;
      });
    if (!work) return;
    if (critical) bearers.set(critical, mine);
    if (bearers.size > REMEMBERED) bearers.delete(bearers.keys().next().value!);
    void Promise.all(results).then((good) => {
      const handled = critical && good.length > 0 && good.every(Boolean);
      if (handled) bearers.set(critical, null);
      acks!.done(work, handled ? critical : undefined);
    });
  };

  const reset = (message: ResetMessage): void => {
    if (message.reason === "epoch") acks?.anew();
    const work = acks?.given(parseCursor(message.cursor));
    const settled = Promise.all(resets.call(message));
    void settled.then(() => work && acks!.done(work));
    resetting(message, settled);
  };

  return {
    subscribe(type, topic, handler) {
      const subscription = { type, topic, handler };
      subscriptions.add(subscription);
      return () => void subscriptions.delete(subscription);
    },
    messages: batches.add,
    onReset: resets.add,
    heard: () => [...new Set([...subscriptions].map(({ type }) => type))].filter((type) => type !== "*"),
    give(batch) {
      if (batch.length > 0) batches.call(batch);
      for (const message of batch) {
        if (message.kind === "event") event(message);
        else if (message.kind === "reset") reset(message);
      }
    },
  };
}
