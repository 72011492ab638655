// A page that was rendered on a server, and is hydrated when its client is live already: as late as can be.
import { StrictMode, useState, type ReactElement } from "react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { createClient } from "../../src/index.ts";
import { createEntities } from "../../src/entities.ts";
import { ConnectionStatusIndicator, RoxyProvider, useEnhancedSSE, useEntity, useSSE, useSyncStatus } from "../../src/react.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const complaints: string[] = [];
console.error = (...args: unknown[]) => void complaints.push(args.map(String).join(" "));

function Orders(): ReactElement {
  const { data, notifications, continuity } = useEnhancedSSE({
    topics: ["orders/*"],
    initial: { data: "rendered", cursor: asked.get("cursor")! },
    ...(asked.has("fresh") && { load: async () => ({ data: "loaded", cursor: asked.get("fresh")! }) }),
  });
  return <p id="orders">{JSON.stringify({ data, told: notifications.map((one) => one.data), continuity })}</p>;
}

function Rest(): ReactElement {
  const { isConnected, lastEvent } = useSSE();
  return <p>{JSON.stringify([isConnected, lastEvent?.type, useEntity("orders/7"), useSyncStatus()])}</p>;
}

function App(): ReactElement {
  const [later, setLater] = useState(!asked.has("later"));
  return (
    <StrictMode>
      <RoxyProvider client={client} entities={entities}>
        <ConnectionStatusIndicator />
        <Rest />
        {later && <Orders />}
        <button onClick={() => setLater(true)} />
      </RoxyProvider>
    </StrictMode>
  );
}

const client = createClient({ url: asked.get("hub")!, token: asked.get("token")!, topics: ["orders/*"] });
const entities = createEntities(client);
const root = document.getElementById("root")!;
root.innerHTML = renderToString(<App />);
if (asked.has("early")) {
  client.connect();
  await new Promise<void>((live) => client.continuity.subscribe(() => client.continuity.get() === "ok" && live()));
}
hydrateRoot(root, <App />, { onRecoverableError: (error) => void complaints.push(String(error)) });

declare global {
  interface Window {
    readonly complaints: string[];
  }
}
Object.assign(window, { complaints });
