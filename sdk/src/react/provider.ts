import { createContext, createElement, useContext, useEffect, useInsertionEffect, useMemo, type ReactElement, type ReactNode } from "react";
import type { Client, ClientOptions } from "../core/client.ts";
import type { Entities } from "../entities.ts";
import type { RegisteredEntities, RegisteredEvents } from "./register.ts";
import { sharedOf, type Shared } from "./shared.ts";

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
export interface Roxy extends Shared {
  readonly entities?: Entities<RegisteredEntities> | undefined;
}

const Context = /* @__PURE__ */ createContext<Roxy | undefined>(undefined);

/**
 * Gives the hooks below it a client, and connects it. With `url` and the other options of createClient it makes one: the same for
 * the same options all over the page, compared by value (functions are called as they are by now), and closed 2 s after its last
 * user is gone.
 */
export function RoxyProvider({ children, client, entities, ...options }: RoxyProviderProps): ReactElement {
  const shared = sharedOf(client, options);
  useInsertionEffect(() => {
    shared.options = options;
  });
  useEffect(() => shared.use([]), [shared]);
  const value = useMemo(() => ({ ...shared, entities }), [shared, entities]);
  return createElement(Context.Provider, { value }, children);
}

/**
 * What the provider above gives. Without one it is a client of the page's own origin, with its cookie, which meanwhile hears
 * all when it is asked to, as hand-written hooks did.
 */
export function useRoxy(all = false, device?: string): Roxy {
  const given = useContext(Context);
  const roxy = given ?? sharedOf(undefined, { url: "", ...(device && { device }) });
  useEffect(() => (given ? undefined : roxy.use(all ? ["**"] : [])), [given, roxy, all]);
  return roxy;
}
