import { useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore, type RefObject } from "react";
import type { Client, Continuity, Sync } from "../core/client.ts";
import type { State } from "../core/connection.ts";
import type { Present, RoxyEvent } from "../core/messages.ts";
import type { Observable } from "../core/observable.ts";
import { UNMEASURED, type Quality } from "../core/quality.ts";
import type { Entities, EntityAt, TopicsOf } from "../entities.ts";
import type { View } from "../store/store.ts";
import { useRoxy, type Roxy } from "./provider.ts";
import type { AnyEvent, RegisteredEntities, RegisteredEvents, Subscribe } from "./register.ts";
import { NOBODY, PRESENCE } from "./shared.ts";

/** The client of the provider above. */
export function useClient(): Client<RegisteredEvents> {
  return useRoxy().client;
}

/** The entities of the provider above. Throws when it has none. */
export function useEntities(): Entities<RegisteredEntities> {
  return entitiesOf(useRoxy());
}

/** Returns the entities of a provider, and throws when it has none. */
export function entitiesOf({ entities }: Roxy): Entities<RegisteredEntities> {
  if (!entities) throw new Error("RoxyProvider has no entities");
  return entities;
}

/** What useSSE returns. */
export interface SSE {
  /** The same function for as long as the client is the same. */
  readonly subscribe: Subscribe;
  readonly isConnected: boolean;
  /** The last event of any type; only who reads it renders for it. */
  readonly lastEvent: AnyEvent | null;
}

/** Events of the hub, in the shape of hand-written hooks for server-sent events. */
export function useSSE(): SSE {
  const { client, last, subscribe } = useRoxy(true);
  const isConnected = useObservable<State>(client.state, "idle") === "live";
  const lastEvent = useWhenRead(last, null);
  return useMemo(
    () => ({
      subscribe: subscribe as Subscribe,
      isConnected,
      get lastEvent() {
        return lastEvent() as AnyEvent | null;
      },
    }),
    [subscribe, isConnected, lastEvent],
  );
}

/** An event of a type, as useEvent hears it. */
export type EventOf<Type extends string> = Type extends keyof RegisteredEvents & string ? RoxyEvent<Type, RegisteredEvents[Type]> : RoxyEvent;

/**
 * Runs handler once for each event of the type (`*`: of all) while the component is mounted; with a topic, a pattern, which is
 * subscribed to meanwhile. The handler may be another function at each render.
 */
export function useEvent<Type extends (keyof RegisteredEvents & string) | "*">(
  type: Type,
  handler: (event: EventOf<Type>) => unknown,
  { topic }: { readonly topic?: string } = {},
): void {
  const { hear } = useRoxy(topic === undefined);
  const latest = useLatest(handler);
  useEffect(() => hear(type, (event) => latest.current(event as EventOf<Type>), { topic }), [hear, type, topic, latest]);
}

/** An entity, with everything pending painted over it. Its topic is subscribed to while the component is mounted. */
export function useEntity<Topic extends TopicsOf<RegisteredEntities>>(topic: Topic): View<EntityAt<RegisteredEntities, Topic>> {
  const entities = useEntities();
  return useObservable(entities.entity(topic), { topic, data: undefined, version: 0, pending: NONE });
}

/** All entities that match a pattern and live, by topic. The pattern is subscribed to while the component is mounted. */
export function useCollection<Pattern extends TopicsOf<RegisteredEntities>>(pattern: Pattern): readonly View<EntityAt<RegisteredEntities, Pattern>>[] {
  const entities = useEntities();
  return useObservable(entities.collection(pattern), NONE);
}

/** How far the screen may be trusted. */
export interface ConnectionHealth extends Quality {
  readonly state: State;
  /** The stream has been gone for 5 s: what is shorter needs no banner. */
  readonly lost: boolean;
  readonly continuity: Continuity;
}

/** How good the connection is, and whether something may be missing. */
export function useConnectionHealth(): ConnectionHealth {
  return useHealth(useRoxy());
}

/** The same of a client that is known already. */
export function useHealth({ client }: Roxy): ConnectionHealth {
  const quality = useObservable(client.quality, UNMEASURED);
  const state = useObservable<State>(client.state, "idle");
  const lost = useObservable(client.lost, false);
  const continuity = useObservable<Continuity>(client.continuity, "catching-up");
  return useMemo(() => ({ ...quality, state, lost, continuity }), [quality, state, lost, continuity]);
}

/** Whether the hub has the app's own writes, and how many mutations of entities it has not decided. */
export function useSyncStatus(): { readonly sync: Sync; readonly waiting: number } {
  const { client, entities } = useRoxy();
  const sync = useObservable<Sync>(client.sync, "synced");
  const waiting = useObservable(entities?.waiting ?? { subscribe: client.sync.subscribe, get: () => 0 }, 0);
  return useSame({ sync, waiting });
}

/** Who has a live stream, of the whole tenant; it takes the right to read `roxy/presence`. */
export function usePresence(): readonly Present[] {
  const { client, present } = useRoxy();
  useEffect(() => client.retain([PRESENCE]), [client]);
  return useObservable(present, NOBODY);
}

/** The same object for as long as its members are the same. They have the same names at each render. */
export function useSame<Shape extends object>(shape: Shape): Shape {
  return useMemo(() => shape, Object.values(shape));
}

/** A function of the last render that was painted, for what calls it later. */
export function useLatest<Value>(value: Value): RefObject<Value> {
  const latest = useRef(value);
  // Before all other effects, which may call it.
  useInsertionEffect(() => {
    latest.current = value;
  });
  return latest;
}

/** What source holds. first is what a server renders, and the browser until it has hydrated that. */
export function useObservable<Value>({ subscribe, get }: Observable<Value>, first: Value): Value {
  return useSyncExternalStore(subscribe, get, () => first);
}

/** Returns what gives the value; only who has called it renders when that changes. */
export function useWhenRead<Value>({ subscribe, get }: Observable<Value>, first: Value): () => Value {
  const read = useRef(false);
  const value = useObservable({ subscribe, get: () => (read.current ? get() : first) }, first);
  return useMemo(
    () => () => {
      read.current = true;
      return value;
    },
    [value],
  );
}

const NONE: readonly never[] = [];
