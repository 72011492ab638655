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

/** Critical events that some handlers did not bear are remembered so that the others do not get them again; so many. */
const REMEMBERED = 1_000;

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
  const borne = new Map<string, Map<Subscription, Promise<boolean>>>(); // by ack.id, who has handled it or is about to

  const event = (message: RoxyEvent): void => {
    const position = parseCursor(message.cursor);
    const critical = message.ack?.id;
    if (critical && acks?.has(critical)) return acks.passed(position, true);
    const work = acks?.given(position);
    const before = (critical && borne.get(critical)) || new Map<Subscription, Promise<boolean>>();
    const results = [...subscriptions]
      .filter(({ type, topic }) => (type === "*" || type === message.type) && (topic === undefined || matches(topic, message.topic)))
      .map((subscription) => {
        const result = before.get(subscription) ?? run(() => subscription.handler(message));
        before.set(subscription, result);
        void result.then((good) => good || before.delete(subscription));
        return result;
      });
    if (!work) return;
    if (critical) borne.set(critical, before);
    if (borne.size > REMEMBERED) borne.delete(borne.keys().next().value!);
    void Promise.all(results).then((good) => {
      const handled = good.length > 0 && good.every(Boolean);
      if (critical && handled) borne.delete(critical);
      acks!.done(work, critical, handled);
    });
  };

  const reset = (message: ResetMessage): void => {
    if (message.reason === "epoch") acks?.anew();
    const work = message.reason === "view" ? undefined : acks?.given(parseCursor(message.cursor));
    const settled = Promise.all(resets.call(message));
    if (work) void settled.then(() => acks!.done(work));
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
        else if (message.kind === "live") acks?.passed(parseCursor(message.cursor), true);
      }
    },
  };
}
