import { createContext, createElement, useContext, useEffect, useInsertionEffect, useMemo, type ReactElement, type ReactNode } from "react";
import { createClient } from "../index.ts";
import type { Client, ClientOptions } from "../core/client.ts";
import type { Timer } from "../core/clock.ts";
import type { Entities } from "../entities.ts";
import { createHearing, LINGER, type Hearing } from "./hearing.ts";
import type { RegisteredEntities, RegisteredEvents } from "./register.ts";

/** A client, or the options to make one with, and what is below. */
export type RoxyProviderProps = { readonly children?: ReactNode } & (
  | {
      /** The app's client, which the app closes. */
      readonly client: Client<RegisteredEvents>;
      /** What createEntities of `@roxy/sdk/entities` made of the client; useEntity, useCollection and useMutation need it. */
      readonly entities?: Entities<RegisteredEntities> | undefined;
    }
  | (ClientOptions & { readonly client?: undefined; readonly entities?: undefined })
);

/** What hooks find above them. */
export interface Roxy {
  readonly client: Client<RegisteredEvents>;
  readonly entities: Entities<RegisteredEntities> | undefined;
  readonly hearing: Hearing;
}

/** A client of this module. */
interface Own {
  readonly client: Client<RegisteredEvents>;
  /** Of the last render: functions are called as they are by now. */
  options: ClientOptions;
  users: number;
  timer: Timer;
}

const Context = /* @__PURE__ */ createContext<Roxy | undefined>(undefined);
const hearings = /* @__PURE__ */ new WeakMap<object, Hearing>();
const owns = /* @__PURE__ */ new Map<string, Own>();

/** Without a provider: the page's own origin, with its cookie. */
const HERE: ClientOptions = { url: "" };
const NONE: readonly string[] = [];
/** What hooks without topics hear when there is no provider to say it: all, as hand-written hooks did. */
export const EVERYTHING: readonly string[] = ["**"];

/**
 * Gives the hooks below it a client, and connects it. With `url` and the other options of createClient it makes one: the same for
 * the same options all over the page, compared by value (functions are called as they are by now), and closed 2 s after its last
 * user is gone.
 */
export function RoxyProvider({ children, client, entities, ...options }: RoxyProviderProps): ReactElement {
  // A client that was given leaves no options but undefined ones: HERE is not used then.
  const own = useOwn(client ? undefined : ({ ...HERE, ...options } satisfies ClientOptions), NONE);
  const mine = client ?? own!.client;
  useEffect(() => client && begin(client, NONE), [client]);
  const value = useMemo(() => roxyOf(mine, entities), [mine, entities]);
  return createElement(Context.Provider, { value }, children);
}

/** What the provider above gives. Without one it is a client of the page's own origin, which hears patterns meanwhile. */
export function useRoxy(patterns: readonly string[] = NONE, device?: string): Roxy {
  const given = useContext(Context);
  const own = useOwn(given ? undefined : device === undefined ? HERE : { ...HERE, device }, patterns);
  const mine = own?.client;
  return useMemo(() => given ?? roxyOf(mine!), [given, mine]);
}

function roxyOf(client: Client<RegisteredEvents>, entities?: Entities<RegisteredEntities>): Roxy {
  let hearing = hearings.get(client);
  if (!hearing) hearings.set(client, (hearing = createHearing(client)));
  return { client, entities, hearing };
}

/** Connects client, and hears it. */
function begin(client: Client<RegisteredEvents>, patterns: readonly string[]): () => void {
  roxyOf(client).hearing.listen();
  return client.retain(patterns);
}

/** A client of this module's, used while the component is mounted. To make one touches nothing, so that a render may. */
function useOwn(options: ClientOptions | undefined, patterns: readonly string[]): Own | undefined {
  const key = options && JSON.stringify(Object.entries(options).sort());
  const own = useMemo(() => (key === undefined ? undefined : ownOf(key, options!)), [key]);
  useInsertionEffect(() => {
    if (own) own.options = options!;
  });
  useEffect(() => (own ? use(key!, own, patterns) : undefined), [key, own, patterns]);
  return own;
}

function ownOf(key: string, options: ClientOptions): Own {
  const known = owns.get(key);
  if (known) return known;
  const { token, onError } = options;
  const own: Own = {
    options,
    users: 0,
    timer: undefined,
    client: createClient<RegisteredEvents>({
      ...options,
      ...(typeof token === "function" && { token: (...args) => (own.options.token as typeof token)(...args) }),
      ...(onError && { onError: (error) => own.options.onError?.(error) }),
    }),
  };
  // On a server each page has its own: the next one is somebody else's.
  if (typeof window !== "undefined") owns.set(key, own);
  return own;
}

function use(key: string, own: Own, patterns: readonly string[]): () => void {
  const { client } = own;
  const { clock } = client.platform;
  own.users++;
  clock.clear(own.timer);
  owns.set(key, own);
  const release = begin(client, patterns);
  return () => {
    release();
    if (--own.users > 0) return;
    own.timer = clock.set(() => {
      client.close();
      if (owns.get(key) === own) owns.delete(key);
    }, LINGER);
  };
}
