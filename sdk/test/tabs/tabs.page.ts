// A page that follows what its address says, alone or together with the other tabs of a name, and shows what it heard.
import { createClient, type Message } from "../../src/index.ts";
import { tabs } from "../../src/tabs.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const text = (name: string): string | undefined => asked.get(name) ?? undefined;
if (asked.has("without")) Object.defineProperty(asked.get("without") === "locks" ? navigator : window, asked.get("without")!, { value: undefined });

const share = asked.has("name") ? tabs({ name: asked.get("name")! }) : undefined;
const [device, heartbeat] = [text("device"), text("heartbeat")];
const errors: string[] = [];
const client = createClient({
  url: asked.get("hub")!,
  token: () => token,
  topics: asked.getAll("topic"),
  types: asked.getAll("type"),
  snapshot: asked.has("snapshot"),
  backoff: { cap: 1_000 },
  onError: (error) => void errors.push(String(error)),
  ...(share && { share }),
  ...(device && { device }),
  ...(heartbeat && { heartbeat }),
});
let token = asked.get("token")!;
const handled: unknown[] = [];
const messages: Message[] = [];
client.messages((batch) => void messages.push(...batch));
client.subscribe("*", ({ data }) => void handled.push(data));

/** Keeps the page from doing anything until somebody answers at url. */
function freeze(url: string): void {
  setTimeout(() => {
    const request = new XMLHttpRequest();
    request.open("GET", url, false);
    request.send();
  });
}

const tab = { client, handled, messages, errors, freeze, leads: () => share?.leadership.get(), become: (next: string) => void (token = next) };

declare global {
  interface Window {
    readonly tab: typeof tab;
  }
}
Object.assign(window, { tab });
