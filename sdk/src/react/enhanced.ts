import { useEffect, useMemo, useState } from "react";
import type { Continuity, Sync } from "../core/client.ts";
import { beyond } from "../core/cursor.ts";
import type { RoxyEvent } from "../core/messages.ts";
import { matches } from "../core/topic.ts";
import type { Changes, EntityAt, PatchOf, TopicsOf } from "../entities.ts";
import type { Pending } from "../outbox/api.ts";
import type { How } from "../store/store.ts";
import { entitiesOf, useHealth, useLatest, useObservable, useSame, type ConnectionHealth } from "./hooks.ts";
import { useRoxy, type Roxy } from "./provider.ts";
import type { AnyEvent, RegisteredEntities, Subscribe } from "./register.ts";

/** So many notifications are kept. */
const KEPT = 100;

/** An event, and a name for it: the same for each time that it comes. */
export type Notification = AnyEvent & { readonly id: string };

/** When a load that failed is tried again: after one to two of these, in milliseconds, so that screens which failed together do not come together. */
const LATER = 5_000;

/** What a page was rendered with, and the cursor up to which it holds what was published. */
export interface Loaded<Data> {
  readonly data: Data;
  readonly cursor: string;
}

/** All of it is compared by value: objects and functions made anew at each render change nothing. */
export interface EnhancedSSEOptions<Data> {
  /** The device of a client that is made because there is no RoxyProvider; below one the device is the provider's. */
  readonly clientId?: string;
  /** A hint without effect: what somebody may hear, the hub decides by the credential. */
  readonly userRole?: string;
  /** Runs once for each event; for critical events it is the handler that confirms by returning. */
  readonly onNotification?: ((notification: Notification) => unknown) | undefined;
  /** Patterns, subscribed to while the component is mounted; notifications are of these. Without them, of all that the client hears. */
  readonly topics?: readonly string[];
  /** What the server rendered. The stream begins behind its cursor, so that nothing is missed between the two. */
  readonly initial?: Loaded<Data>;
  /** Loads that anew when what was missed cannot be replayed, and again until it succeeds; until then continuity is `reset`. */
  readonly load?: () => Promise<Loaded<Data>>;
}

/** A change of an entity. */
export type Operation = OperationOn<TopicsOf<RegisteredEntities>>;

type OperationOn<Topic extends TopicsOf<RegisteredEntities>> = Topic extends string
  ? How &
      (
        | { readonly op: "put"; readonly topic: Topic; readonly data: EntityAt<RegisteredEntities, Topic> }
        | { readonly op: "patch"; readonly topic: Topic; readonly patch: PatchOf<EntityAt<RegisteredEntities, Topic>> }
        | { readonly op: "delete"; readonly topic: Topic }
      )
  : never;

/** What useEnhancedSSE returns. */
export interface EnhancedSSE<Data> {
  /** The last 100, the oldest first. */
  readonly notifications: readonly Notification[];
  readonly isConnected: boolean;
  readonly connectionHealth: ConnectionHealth;
  /** `reset` while something may be missing that nobody has fetched anew. */
  readonly continuity: Continuity;
  readonly sync: Sync;
  /** Of the initial data, or what load brought since. */
  readonly data: Data | undefined;
  /** The same function for as long as the client is the same. */
  readonly subscribe: Subscribe;
  /** Confirms a critical event, or its ack's id, on this device. Throws when the client has no device. */
  readonly ack: (notification: RoxyEvent | string) => void;
  /** Changes an entity, painted at once. Like bulk and retry it throws when the provider has no entities. */
  readonly mutate: (operation: Operation) => Pending;
  /** Changes several; each is decided by itself, or with `atomic` all or none: then there is one to wait for. */
  readonly bulk: (operations: readonly Operation[], options?: { readonly atomic?: boolean }) => readonly Pending[];
  /** Sends a mutation that was given up once more. */
  readonly retry: (id: string) => Pending | undefined;
}

/** Notifications, and all that a screen needs to know of its connection. */
export function useEnhancedSSE<Data = undefined>(options: EnhancedSSEOptions<Data> = {}): EnhancedSSE<Data> {
  const { clientId, topics, initial, load, onNotification } = options;
  const roxy = useRoxy(!topics, clientId);
  const { client, subscribe } = roxy;
  const [since, setSince] = useState<{ readonly loaded?: Loaded<Data>; readonly gap?: boolean }>({});
  const page = since.loaded ?? initial;
  const loader = useLatest(load);

  // Before the topics below are asked for, so that the first stream begins in the right place.
  const rendered = initial?.cursor;
  useEffect(() => {
    const { clock, random, report } = client.platform;
    let loads = 0;
    const reload = async (): Promise<void> => {
      for (const mine = ++loads; mine === loads; ) {
        try {
          const loaded = await loader.current!();
          return mine === loads ? setSince({ loaded }) : undefined;
        } catch (error) {
          report(error);
          await new Promise<void>((again) => clock.set(again, LATER * (1 + random())));
        }
      }
    };
    // The stream is further than what was rendered.
    const gap = rendered !== undefined && beyond(client.inspect().cursor, rendered);
    const release = client.retain([], { after: rendered });
    const stop = loader.current && client.onReset(reload);
    setSince({ gap });
    if (gap && loader.current) void reload();
    return () => {
      loads++;
      release();
      stop?.();
    };
  }, [client, rendered, loader]);

  const notifications = useNotifications(roxy, topics, page?.cursor, onNotification);
  const connectionHealth = useHealth(roxy);
  const sync = useObservable<Sync>(client.sync, "synced");
  const calls = useMemo(() => {
    const mutate = (operation: Operation): Pending => change(entitiesOf(roxy), operation);
    return {
      ack: client.confirm,
      mutate,
      bulk: (operations, { atomic } = {}) =>
        atomic ? [entitiesOf(roxy).atomic((draft) => operations.forEach((operation) => change(draft, operation)))] : operations.map(mutate),
      retry: (id) => entitiesOf(roxy).retry(id),
    } satisfies Partial<EnhancedSSE<Data>>;
  }, [client, roxy]);
  return useSame({
    notifications,
    isConnected: connectionHealth.state === "live",
    connectionHealth,
    continuity: since.gap ? "reset" : connectionHealth.continuity,
    sync,
    data: page?.data,
    subscribe: subscribe as Subscribe,
    ...calls,
  });
}

/** What came, and onNotification called with it. What page, a cursor, holds already is left out. */
function useNotifications(
  { client, hear }: Roxy,
  topics: readonly string[] | undefined,
  page: string | undefined,
  onNotification: EnhancedSSEOptions<unknown>["onNotification"],
): readonly Notification[] {
  const [notifications, setNotifications] = useState<readonly Notification[]>([]);
  const latest = useLatest(onNotification);
  const handles = onNotification !== undefined;

  useEffect(() => {
    // A pattern each: to handle all topics would confirm critical events of others.
    const heard = topics?.[0] ? topics : [undefined];
    // Whose an event is, of the heard that match; nobody's when the page holds it. Ephemeral events are in no page.
    const place = ({ cursor, topic }: RoxyEvent): number =>
      cursor && !beyond(cursor, page) ? -1 : heard.findIndex((pattern) => matches(pattern ?? topic, topic));
    const stops = [
      client.retain(topics ?? []),
      client.messages((batch) => {
        const fresh = batch.flatMap((message) => (message.kind === "event" && place(message) >= 0 ? [named(message)] : []));
        // A critical event comes again until it is confirmed.
        if (fresh[0]) setNotifications((all) => [...all, ...fresh.filter(({ id }) => !all.some((one) => one.id === id))].slice(-KEPT));
      }),
      ...(handles ? heard.map((topic, mine) => hear("*", (event) => (place(event) === mine ? latest.current?.(named(event)) : undefined), { topic })) : []),
    ];
    return () => stops.forEach((stop) => stop());
  }, [client, hear, JSON.stringify(topics), handles, page, latest]);
  return notifications;
}

function named(event: RoxyEvent): Notification {
  // An ephemeral event has no name but all that it says, with its time in nanoseconds.
  return { ...event, id: event.ack?.id ?? event.cursor ?? JSON.stringify(event) } as Notification;
}

function change<Result>(changes: Changes<RegisteredEntities, Result>, operation: Operation): Result {
  const { op, topic } = operation;
  if (op === "put") return changes.put(topic, operation.data, operation);
  if (op === "patch") return changes.patch(topic, operation.patch, operation);
  return changes.delete(topic, operation);
}
