import { createPublisher, type ProxyOptions } from "@roxy/sdk/server";
import type { RoxyEntities, RoxyEvents } from "./roxy.gen.ts";

/**
 * The hub as this server reaches it. Everybody who opens the page is the user of one token here: where people sign in, give each
 * their own, by what the request's session says.
 */
export const hub = {
  url: process.env["ROXY_URL"] ?? "http://127.0.0.1:8080",
  token: () => process.env["ROXY_TOKEN"],
} satisfies ProxyOptions;

export const publisher = createPublisher<RoxyEvents, RoxyEntities>({
  ...hub,
  topics: { "call:waiter": ({ table }) => `calls/${table}` },
});
