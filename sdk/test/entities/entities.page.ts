// A page that keeps orders in a database that all tabs share, over a network that the test can take away.
import { createEntities, type Entities } from "../../src/entities.ts";
import { createClient, globalPlatform, type Client } from "../../src/index.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const platform = globalPlatform();
const network = { there: asked.get("offline") === null };
const client = createClient({
  url: asked.get("hub")!,
  token: asked.get("token")!,
  topics: ["orders/*"],
  snapshot: true,
  onError: () => {},
  platform: { ...platform, fetch: (url, init) => (network.there ? platform.fetch!(url, init) : Promise.reject(new TypeError("no network"))) },
});
const entities = createEntities(client, { database: "orders" });
client.connect();

declare global {
  interface Window {
    readonly orders: { readonly entities: Entities; readonly client: Client; readonly network: { there: boolean } };
  }
}
Object.assign(window, { orders: { entities, client, network } });
