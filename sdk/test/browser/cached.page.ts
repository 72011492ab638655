// A page that follows orders over one transport, may make mutations, and notes whether it came from the cache of pages.
import { globalPlatform } from "../../src/browser.ts";
import { createEntities } from "../../src/entities.ts";
import { eventSource } from "../../src/eventsource.ts";
import { createClient } from "../../src/index.ts";
import { tabs } from "../../src/tabs.ts";
import { webSocket } from "../../src/ws.ts";
import { unstreamed } from "../platforms.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const over = asked.get("over")!;
const shown: boolean[] = [];
addEventListener("pageshow", ({ persisted }) => void shown.push(persisted));
const share = over === "tabs" ? tabs({ name: "cached" }) : undefined;
const client = createClient({
  url: asked.get("hub")!,
  token: asked.get("token")!,
  topics: ["orders/*"],
  device: `tablet-${over}`,
  snapshot: true,
  backoff: { cap: 300 },
  platform: over === "eventsource" || over === "ws" ? unstreamed(globalPlatform()) : globalPlatform(),
  transports: over === "eventsource" ? [eventSource] : [webSocket],
  ...(share && { share }),
});
const handled: unknown[] = [];
client.subscribe("order:new", ({ data }) => void handled.push(data));
const entities = createEntities(client, { database: `cached-${over}` });

declare global {
  interface Window {
    readonly cached: {
      readonly client: typeof client;
      readonly entities: typeof entities;
      readonly handled: unknown[];
      /** For each time that this document was shown, whether it came from the cache. */
      readonly shown: boolean[];
      /** Whether it holds the stream of all tabs. */
      leads(): boolean;
    };
  }
}
Object.assign(window, { cached: { client, entities, handled, shown, leads: () => share?.leadership.get() === true } });
