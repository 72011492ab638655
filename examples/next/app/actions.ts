"use server";
// What browsers may ask this server to do. Their arguments are whatever somebody sends: the hub's schemas refuse what is wrong.
import { publisher } from "./hub.ts";
import type { Call, Order } from "./roxy.gen.ts";

/** The orders as they are now, and where to go on from. */
export async function loadOrders() {
  return publisher.snapshot("orders/*");
}

/** Takes an order. `id` is made where somebody presses the button: however often this call comes, it is one order. */
export async function placeOrder(id: string, { table, drink }: Pick<Order, "table" | "drink">): Promise<void> {
  await publisher.mutate({ op: "put", topic: `orders/${id}`, data: { table, drink, status: "open" }, type: "order:new", guard: "version", base: 0 }, { work: id });
}

export async function finishOrder(topic: `orders/${string}`): Promise<void> {
  await publisher.mutate({ op: "patch", topic, patch: { status: "ready" }, type: "order:ready" });
}

/** Calls a waiter, who hears it before all else, for a quarter of an hour. */
export async function callWaiter(call: Call): Promise<void> {
  await publisher.emit("call:waiter", call, { priority: "high", ttl: 15 * 60_000 });
}
