import type { Found } from "@roxy/sdk/server";
import type { Notification } from "@roxy/sdk/react";
import type { Order } from "./roxy.gen.ts";

/** Orders by their topics. They are never deleted: who is at a higher version knows more. */
export type Orders = ReadonlyMap<string, { readonly version: number; readonly data: Order }>;

/** Adds what the server has loaded. */
export function withLoaded(orders: Orders, loaded: readonly Found<Order>[]): Orders {
  const all = new Map(orders);
  for (const { topic, version, data } of loaded) if (version > (all.get(topic)?.version ?? 0)) all.set(topic, { version, data });
  return all;
}

/** Applies a change. One that is known already changes nothing, and one behind a gap is in what is loaded next. */
export function withChange(orders: Orders, { topic, change }: Notification): Orders {
  const known = orders.get(topic);
  if (!change?.patch || change.base !== (known?.version ?? 0)) return orders;
  return new Map(orders).set(topic, { version: change.version, data: { ...known?.data, ...change.patch } as Order });
}
