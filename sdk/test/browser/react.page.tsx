// A page of components as apps write them, in StrictMode. The address says which hub, who asks, and what is shown.
import { StrictMode, useEffect, useState, version, type ReactElement } from "react";
import { createRoot } from "react-dom/client";
import { createClient } from "../../src/index.ts";
import { createEntities } from "../../src/entities.ts";
import {
  ConnectionStatusIndicator,
  RoxyProvider,
  useCollection,
  useConnectionHealth,
  useEnhancedSSE,
  useEntity,
  useEvent,
  useMutation,
  usePresence,
  useSSE,
  useSyncStatus,
} from "../../src/react.ts";

const asked = new URLSearchParams(location.hash.slice(1));
const hub = { url: asked.get("hub")!, token: asked.get("token")!, topics: [asked.get("topics") ?? "products/*"] };
const heard = {
  seed: [] as unknown[],
  event: [] as unknown[],
  notified: [] as unknown[],
  conflicts: [] as unknown[],
  refused: [] as unknown[],
  committed: [] as unknown[],
};
const identities = new Set<unknown>();
let renders = 0;

interface Availability {
  product: string;
}

// As an app of hand-written hooks has it.
function Products(): ReactElement {
  const { subscribe, isConnected } = useSSE();
  const [gone, setGone] = useState<string[]>([]);
  identities.add(subscribe);
  renders++;
  useEffect(
    () =>
      subscribe("product:availability", (data: Availability) => {
        heard.seed.push(data.product);
        setGone((all) => [...all, data.product]);
      }),
    [subscribe],
  );
  return (
    <p id="gone" data-connected={isConnected}>
      {gone.join()}
    </p>
  );
}

function Last(): ReactElement {
  const { lastEvent } = useSSE();
  return <p id="last">{lastEvent ? `${lastEvent.type} ${lastEvent.data.product}` : "none"}</p>;
}

function Kitchen(): ReactElement {
  const [again, setAgain] = useState(0);
  useEvent("order:new", ({ data, topic }) => heard.event.push([topic, data, again]), { topic: "orders/*" });
  const { notifications, isConnected, connectionHealth, continuity, sync, ack } = useEnhancedSSE({
    clientId: "kitchen",
    userRole: "KITCHEN",
    topics: ["orders/*", "orders/8"],
    onNotification: ({ id, type, data }) => {
      heard.notified.push([id, type, data]);
      if (type === "order:call") ack(id);
      setAgain((n) => n + 1);
    },
  });
  return (
    <section id="kitchen" data-connected={isConnected} data-quality={connectionHealth.quality} data-continuity={continuity} data-sync={sync}>
      <ul>
        {notifications.map(({ id, type }) => (
          <li key={id}>{type}</li>
        ))}
      </ul>
    </section>
  );
}

function Device(): ReactElement {
  const { isConnected, continuity } = useEnhancedSSE({ clientId: "bar", topics: ["orders/*"] });
  return <p id="device">{JSON.stringify({ isConnected, continuity })}</p>;
}

function OrderCard(): ReactElement {
  const { data, pending, conflict, version } = useEntity("orders/7");
  const orders = useCollection("orders/*");
  const { patch, atomic } = useMutation({
    onConflict: ({ mutation, problem }) => {
      heard.conflicts.push([mutation.patch, problem.fields]);
      return asked.get("decide") as "mine" | undefined;
    },
    onRefused: ({ problem }) => heard.refused.push(problem.code),
    onCommitted: ({ version }) => heard.committed.push(version),
  });
  return (
    <section id="order" data-version={version} data-pending={pending.join()} data-conflict={conflict?.code ?? ""} data-orders={orders.length}>
      <p id="data">{JSON.stringify(data)}</p>
      <button id="note" onClick={() => patch("orders/7", { note: asked.get("note") ?? "no ice" })} />
      <button
        id="both"
        onClick={() =>
          atomic((draft) => {
            draft.put("tables/7", { seats: 4 });
            draft.patch("orders/7", { note: "no ice" });
          })
        }
      />
      <button id="guests" onClick={() => patch("orders/7", { guests: 4 })} />
    </section>
  );
}

function Troubles(): ReactElement {
  const { troubled, dismiss, resolve } = useMutation();
  return (
    <ul id="troubles">
      {troubled.map(({ id, state, problem }) => (
        <li key={id} data-state={state}>
          {problem?.code}
          <button className="dismiss" onClick={() => dismiss(id)} />
          <button className="mine" onClick={() => resolve(id, "mine")} />
        </li>
      ))}
    </ul>
  );
}

function Health(): ReactElement {
  const { state, lost, continuity, quality } = useConnectionHealth();
  const { sync, waiting } = useSyncStatus();
  return <p id="health">{JSON.stringify({ state, lost, continuity, quality, sync, waiting })}</p>;
}

function House(): ReactElement {
  const present = usePresence();
  return <p id="present">{[...new Set(present.map(({ user }) => user))].sort().join()}</p>;
}

const SCREENS: Record<string, () => ReactElement | null> = { Products, Last, Kitchen, Device, OrderCard, Troubles, Health, House, Empty: () => null };

function App(): ReactElement {
  const [screens, show] = useState(asked.get("show")!.split(","));
  useEffect(() => void Object.assign(window, { show }), []);
  return (
    <>
      {screens.map((name) => {
        const Screen = SCREENS[name]!;
        return <Screen key={name} />;
      })}
    </>
  );
}

const shared = asked.has("entities") || asked.has("device");
const client = createClient({ ...hub, snapshot: asked.has("entities"), ...(asked.has("device") && { device: asked.get("device")! }) });
const entities = asked.has("entities") ? createEntities(client, { database: "roxy-test", conflict: () => "ask" }) : undefined;

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    {asked.has("bare") ? (
      <App />
    ) : shared ? (
      <RoxyProvider client={client} entities={entities}>
        <ConnectionStatusIndicator />
        <App />
      </RoxyProvider>
    ) : (
      <RoxyProvider {...hub} token={() => hub.token}>
        <ConnectionStatusIndicator />
        <App />
      </RoxyProvider>
    )}
  </StrictMode>,
);

const page = { heard, identities, show: (_: string[]) => {}, renders: () => renders, version };
declare global {
  interface Window {
    readonly react: typeof page;
    readonly show: (screens: string[]) => void;
  }
}
Object.assign(window, { react: page });
