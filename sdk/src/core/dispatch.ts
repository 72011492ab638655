import type { Acks } from "./acks.ts";
import { parseCursor } from "./cursor.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import { createListeners } from "./observable.ts";
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

export interface DispatchOptions {
  readonly acks: Acks | undefined;
  readonly report: (error: unknown) => void;
  /** A reset is being handled; the promise tells whether all is fetched anew. */
  readonly resetting: (reset: ResetMessage, settled: Promise<boolean>) => void;
}

export function createDispatch({ acks, report, resetting }: DispatchOptions): Dispatch {
  const subscriptions = new Set<Subscription>();
  const batches = createListeners<[readonly Message[]]>(report);
  const resets = new Set<{ handler: (reset: ResetMessage) => unknown }>();
  const borne = new Map<string, Set<Subscription>>(); // by ack.id, who has handled it while another did not

  /** Runs one handler; true or a promise of it when it is done, false when it threw. */
  const run = (handler: () => unknown): boolean | Promise<boolean> => {
    try {
      const result = handler();
      if (!isPromise(result)) return true;
      return result.then(
        () => true,
        (error: unknown) => {
          report(error);
          return false;
        },
      );
    } catch (error) {
      report(error);
      return false;
    }
  };

  /** Calls back when all have answered: at once when none has to be waited for. */
  const all = (results: (boolean | Promise<boolean>)[], done: (good: boolean[]) => void): void => {
    if (results.some(isPromise)) void Promise.all(results).then(done);
    else done(results as boolean[]);
  };

  const event = (message: RoxyEvent): void => {
    const position = parseCursor(message.cursor);
    const critical = message.ack?.id;
    if (critical && acks?.has(critical)) return acks.passed(position, true);
    const work = acks?.given(position);
    const before = critical ? borne.get(critical) : undefined;
    const mine = [...subscriptions].filter(
      (s) => (s.type === "*" || s.type === message.type) && (s.topic === undefined || matches(s.topic, message.topic)),
    );
    const due = mine.filter((s) => !before?.has(s));
    const results = due.map(({ handler }) => run(() => handler(message)));
    if (!work) return;
    all(results, (good) => {
      const handled = mine.length > 0 && good.every(Boolean);
      if (critical && !handled && mine.length > 0) {
        const bearers = new Set([...(before ?? []), ...due.filter((_, i) => good[i])]);
        borne.set(critical, bearers);
        if (borne.size > REMEMBERED) borne.delete(borne.keys().next().value!);
      } else if (critical) borne.delete(critical);
      acks!.done(work, critical, handled);
    });
  };

  const reset = (message: ResetMessage): void => {
    const position = parseCursor(message.cursor);
    if (message.reason === "epoch") acks?.anew(undefined);
    const work = message.reason === "view" ? undefined : acks?.given(position);
    const results = [...resets].map(({ handler }) => run(() => handler(message)));
    resetting(
      message,
      new Promise((settled) =>
        all(results, (good) => {
          if (work) {
            acks!.done(work);
            acks!.hurry();
          }
          settled(good.length > 0 && good.every(Boolean));
        }),
      ),
    );
  };

  return {
    subscribe(type, topic, handler) {
      const subscription = { type, topic, handler };
      subscriptions.add(subscription);
      return () => void subscriptions.delete(subscription);
    },
    messages: (listener) => batches.add(listener),
    onReset(handler) {
      const entry = { handler };
      resets.add(entry);
      return () => void resets.delete(entry);
    },
    heard: () => [...new Set([...subscriptions].map(({ type }) => type))].filter((type) => type !== "*"),
    give(batch) {
      if (batch.length === 0) return;
      batches.call(batch);
      for (const message of batch) {
        if (message.kind === "event") event(message);
        else if (message.kind === "reset") reset(message);
        else if (message.kind === "live") {
          acks?.passed(parseCursor(message.cursor), true);
          acks?.hurry();
        }
      }
    },
  };
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
