import { onTestFinished } from "vitest";
import { createClient, type Client, type ClientOptions, type RoxyEvent } from "../src/index.ts";
import { eventSource } from "../src/eventsource.ts";
import { webSocket } from "../src/ws.ts";
import { globalPlatform } from "../src/browser.ts";
import type { Hub } from "./hub.ts";
import { unstreamed } from "./platforms.ts";

/** The transports that Node has. */
export const ALL = ["sse", "eventsource", "ws"] as const;

/** A client that ends with the test. */
export function clientOf(hub: Hub, options: Partial<ClientOptions> & { over?: (typeof ALL)[number] } = {}): Client {
  const { over = "sse", ...rest } = options;
  const client = createClient({
    url: hub.url,
    token: hub.token({ sub: "ann", roles: ["everything"] }),
    topics: ["orders/*"],
    onError: () => {},
    // A platform without a streaming fetch has the others left.
    ...(over !== "sse" ? { transports: [over === "ws" ? webSocket : eventSource], platform: unstreamed(globalPlatform()) } : {}),
    ...rest,
  });
  onTestFinished(() => client.close());
  return client;
}

/** Waits until get answers what is wanted; the test's time limit is the only clock. */
export async function until<Value>(get: () => Value | undefined | false): Promise<Value> {
  for (;;) {
    const value = get();
    if (value !== undefined && value !== false) return value as Value;
    await new Promise((soon) => setTimeout(soon, 5));
  }
}

/** Waits until a client is caught up. */
export const live = (client: Client): Promise<boolean> => until(() => client.continuity.get() === "ok");
/** The data of events. */
export const numbers = (events: readonly RoxyEvent[]): unknown[] => events.map(({ data }) => data);

