import type { Acks } from "./acks.ts";
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
        if (message.kind === "event") {
          if (acks?.knows(message)) continue;
          const hearing = [...subscriptions].filter(({ type, topic }) => ["*", message.type].includes(type) && matches(topic ?? message.topic, message.topic));
          const settled = Promise.all(hearing.map(({ handler }) => run(() => handler(message))));
          acks?.given(message, settled);
        } else if (message.kind === "reset") {
          if (message.reason === "epoch") acks?.anew();
          const settled = Promise.all(resets.call(message));
          acks?.given(message, settled);
          resetting(message, settled);
        }
      }
    },
  };
}
