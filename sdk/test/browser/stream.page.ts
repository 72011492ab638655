// A page that follows orders and shows what it handled.
import { createClient } from "../../src/index.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const client = createClient({ url: asked.get("hub")!, token: asked.get("token")!, topics: ["orders/*"] });
const handled: unknown[] = [];
client.subscribe("*", ({ data }) => void handled.push(data));

declare global {
  interface Window {
    readonly handled: unknown[];
    readonly client: typeof client;
  }
}
Object.assign(window, { handled, client });
