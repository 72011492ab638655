import { createClient } from "../index.ts";
import type { Client, ClientOptions } from "../core/client.ts";
import type { Message, Present, RoxyEvent } from "../core/messages.ts";
import { createObservable, createRun, type Observable } from "../core/observable.ts";
import { matches } from "../core/topic.ts";
import type { RegisteredEvents } from "./register.ts";

/** So long what nobody uses is kept: a route that changes and comes back, and a module that is reloaded, are one. */
const LINGER = 2_000;

/** What to subscribe to, to be told who is there (docs/protocol.md §9). */
export const PRESENCE = "roxy/presence";

/** Nobody, always the same. */
export const NOBODY: readonly Present[] = [];

/** What a component may say of a subscription. */
interface Hear {
  readonly topic?: string | undefined;
}

/** What the components of a page share of a client. */
export interface Shared {
  readonly client: Client<RegisteredEvents>;
  /**
   * Like subscribe of the client. What came within LINGER since the same subscription was given up comes first. Critical events
   * of a device do not: the hub repeats what was not confirmed.
   */
  readonly hear: (type: string, handler: (event: RoxyEvent) => unknown, options?: Hear) => () => void;
  /** The same with data alone; its identity is the client's. */
  readonly subscribe: (type: string, handler: (data: unknown) => unknown, options?: Hear) => () => void;
  /** The last event that came. */
  readonly last: Observable<RoxyEvent | null>;
  /** Who has a live stream, as far as PRESENCE is subscribed to. */
  readonly present: Observable<readonly Present[]>;
  /** Connects the client, listens to it and subscribes to patterns, while a component is mounted: to render tells nobody. */
  readonly use: (patterns: readonly string[]) => () => void;
  /** Of the last render: functions of a client that was made here are called as they are by now. */
  options: object;
}

/** A subscription that components have had, and what came for it while none of them had it. */
interface Place {
  readonly type: string;
  readonly topic: string | undefined;
  readonly missed: RoxyEvent[];
}

/** By the client, or the options that one was made with. */
const known = /* @__PURE__ */ new Map<unknown, Shared>();

/** What is shared of the client, or of one made with the options, compared by value. It touches nothing, so that a render may. */
export function sharedOf(given: Client<RegisteredEvents> | undefined, options: object): Shared {
  const entries = Object.entries(options).sort();
  const key = given ?? JSON.stringify(entries);
  const found = known.get(key);
  if (found) return found;
  const client =
    given ??
    createClient<RegisteredEvents>(
      Object.fromEntries(
        entries.map(([name, value]) => [
          name,
          typeof value === "function" ? (...args: unknown[]) => (shared.options as Record<string, typeof value>)[name]?.(...args) : value,
        ]),
      ) as unknown as ClientOptions,
    );
  const { clock, report } = client.platform;
  const run = createRun(report);
  const left = new Set<Place>();
  const last = createObservable<RoxyEvent | null>(null, run);
  const present = createObservable(NOBODY, run);
  let users = 0; // now, or within LINGER
  let stop: () => void; // while there are any

  const keeps = ({ type, topic }: Place, event: RoxyEvent): boolean =>
    ["*", event.type].includes(type) && matches(topic ?? event.topic, event.topic) && !(event.ack && client.device);
  const take = (batch: readonly Message[]): void => {
    let now = present.get();
    for (const message of batch) {
      if (message.kind === "event") {
        for (const place of left) if (keeps(place, message)) place.missed.push(message);
        last.set(message);
      }
      // This connection brings no list: what was known is of the past.
      if (message.kind === "live" && !client.followed().some((pattern) => matches(pattern, PRESENCE))) now = NOBODY;
      if (message.kind === "presence") {
        const { part, present: listed = [], joined = listed, left: gone = [] } = message;
        const stayed = part === 1 ? NOBODY : now.filter((one) => !gone.some(({ user, device }) => user === one.user && device === one.device));
        now = [...stayed, ...joined];
      }
    }
    present.set(now);
  };

  const hear: Shared["hear"] = (type, handler, { topic } = {}) => {
    const before = [...left].find((one) => one.type === type && one.topic === topic);
    const missed = before?.missed ?? [];
    left.delete(before!);
    // An event that is being dispatched right now may be among the missed: it is not to come twice.
    const stop = client.subscribe(type, (event) => (missed.includes(event) ? undefined : handler(event)), { topic });
    // Behind whoever subscribes, who may need what subscribe returns; what they throw goes where the page's errors go.
    for (const _ of missed) queueMicrotask(() => open && handler(missed.shift()!));
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      stop();
      const place = { type, topic, missed };
      left.add(place);
      clock.set(() => left.delete(place), LINGER);
    };
  };

  const shared: Shared = {
    client,
    hear,
    subscribe: (type, handler, options) => hear(type, ({ data }) => handler(data), options),
    last,
    present,
    use(patterns) {
      known.set(key, shared);
      if (!users++) stop = client.messages(take);
      const release = client.retain(patterns);
      const gone = (): void => {
        if (--users) return;
        stop();
        if (known.get(key) === shared) known.delete(key);
        if (!given) client.close();
      };
      return () => {
        release();
        clock.set(gone, LINGER);
      };
    },
    options,
  };
  // On a server each page has its own: the next one is somebody else's.
  if (typeof window !== "undefined") known.set(key, shared);
  return shared;
}
