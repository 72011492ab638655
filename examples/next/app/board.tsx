"use client";
import { newId } from "@roxy/sdk/outbox";
import { ConnectionStatusIndicator, RoxyProvider, useEnhancedSSE, type Notification } from "@roxy/sdk/react";
import type { Found, Snapshot } from "@roxy/sdk/server";
import { useEffect, useState } from "react";
import { callWaiter, finishOrder, loadOrders, placeOrder } from "./actions.ts";
import { withChange, withLoaded } from "./orders.ts";
import type { Order, RoxyEntities, RoxyEvents } from "./roxy.gen.ts";

declare module "@roxy/sdk/react" {
  interface Register {
    events: RoxyEvents;
    entities: RoxyEntities;
  }
}

type Initial = Snapshot<readonly Found<Order>[]>;

/** The browser knows this app alone: what goes to the hub goes through app/api/roxy. */
export function Board({ initial }: { readonly initial: Initial }) {
  return (
    <RoxyProvider url="/api/roxy">
      <Orders initial={initial} />
    </RoxyProvider>
  );
}

const TOPICS = ["orders/*", "calls/*"];

function Orders({ initial }: { readonly initial: Initial }) {
  const [orders, setOrders] = useState(() => withLoaded(new Map(), initial.data));
  const [calls, setCalls] = useState<readonly number[]>([]);
  const { data, subscribe } = useEnhancedSSE({
    topics: TOPICS,
    initial,
    load: loadOrders,
    onNotification: (notification: Notification) => setOrders((known) => withChange(known, notification)),
  });
  // What was missed for good was loaded anew.
  useEffect(() => setOrders((known) => withLoaded(known, data ?? [])), [data]);
  useEffect(() => subscribe("call:waiter", ({ table }) => setCalls((all) => [...all, table])), [subscribe]);

  return (
    <main>
      <h1>Orders</h1>
      <p>
        <ConnectionStatusIndicator />
      </p>
      <form
        action={async (form) => {
          await placeOrder(newId(), { table: Number(form.get("table")), drink: String(form.get("drink")) });
        }}
      >
        <label>
          Table <input name="table" type="number" min={1} max={20} defaultValue={1} required />
        </label>{" "}
        <label>
          Drink <input name="drink" defaultValue="Mojito" maxLength={60} required />
        </label>{" "}
        <button>Order</button>
      </form>
      <ul aria-label="Orders">
        {[...orders].map(([topic, { data: order }]) => (
          <li key={topic}>
            Table {order.table}: {order.drink}, {order.status}{" "}
            {order.status === "open" && <button onClick={() => finishOrder(topic as `orders/${string}`)}>Ready</button>}{" "}
            <button onClick={() => callWaiter({ table: order.table })}>Call a waiter</button>
          </li>
        ))}
      </ul>
      <ul aria-label="Calls">
        {calls.map((table, i) => (
          <li key={i}>Table {table} calls</li>
        ))}
      </ul>
    </main>
  );
}
