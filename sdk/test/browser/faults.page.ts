// A page that follows orders over one transport, shows what it handled, and lets a test move its clock.
import { globalPlatform } from "../../src/browser.ts";
import { createEntities } from "../../src/entities.ts";
import { eventSource } from "../../src/eventsource.ts";
import { createClient } from "../../src/index.ts";
import { webSocket } from "../../src/ws.ts";
import { stamped, unstreamed } from "../platforms.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const page = Number(sessionStorage.getItem("page") ?? 0) + 1; // of this tab
sessionStorage.setItem("page", String(page));
const over = asked.get("over")!;
let skipped = 0;
const real = globalPlatform();
const platform = { ...real, clock: { ...real.clock, now: () => real.clock.now() + skipped } };
const client = createClient({
  url: `${asked.get("hub")!}.${page}`,
  // Without a wait: what is stamped is then when an attempt began.
  token: ({ fresh }) => (fresh ? (window.tokens.now = window.tokens.fresh) : window.tokens.now),
  topics: ["orders/*"],
  device: `tablet-${over}`,
  snapshot: true,
  heartbeat: asked.get("heartbeat") ?? "1s",
  backoff: { cap: 300 },
  platform: stamped(over === "sse" ? platform : unstreamed(platform)),
  transports: over === "eventsource" ? [eventSource, webSocket] : [webSocket],
});
const handled: unknown[] = [];
client.subscribe("order:new", ({ data }) => void handled.push(data));
const entities = createEntities(client, { database: `faults-${over}` });

declare global {
  interface Window {
    /** What the app has of tokens; the test's. */
    readonly tokens: { now: string; fresh: string };
    readonly fault: {
      readonly client: typeof client;
      readonly entities: typeof entities;
      readonly handled: unknown[];
      /** So many milliseconds pass at once, as for a device that sleeps. */
      skip(ms: number): void;
    };
  }
}
Object.assign(window, { fault: { client, entities, handled, skip: (ms: number) => void (skipped += ms) } });
