// An app as a server renders it.
import { version } from "react";
import { renderToString } from "react-dom/server";
import type { ReactElement } from "react";
import { createEntities } from "../../src/entities.ts";
import { createClient } from "../../src/index.ts";
import {
  ConnectionStatusIndicator,
  RoxyProvider,
  useCollection,
  useConnectionHealth,
  useEnhancedSSE,
  useEntities,
  useEntity,
  useEvent,
  useMutation,
  usePresence,
  useSSE,
  useSyncStatus,
} from "../../src/react.ts";

function Streams(): ReactElement {
  const { isConnected, lastEvent } = useSSE();
  const { notifications, data, continuity } = useEnhancedSSE({ topics: ["orders/*"], initial: { data: "as rendered", cursor: "e.7" }, onNotification: () => {} });
  useEvent("order:new", () => {}, { topic: "orders/*" });
  const health = useConnectionHealth();
  return <p>{JSON.stringify([isConnected, lastEvent, notifications, data, continuity, health.state, health.quality, useSyncStatus(), usePresence()])}</p>;
}

function Entities(): ReactElement {
  const { waiting, troubled } = useMutation();
  return <p>{JSON.stringify([useEntity("orders/7"), useCollection("orders/*"), waiting, troubled])}</p>;
}

/** Which React it is. */
export { version };

/** Returns what renders it, time and again, and touches no network that url would not tell of. */
export function renderer(url: string): { render(): string; close(): void } {
  const client = createClient({ url, token: "t", topics: ["orders/*"] });
  const entities = createEntities(client);
  return {
    render: () =>
      renderToString(
        <>
          <RoxyProvider client={client} entities={entities}>
            <ConnectionStatusIndicator />
            <Streams />
            <Entities />
          </RoxyProvider>
          <RoxyProvider url={url} topics={["orders/*"]} token={() => "t"}>
            <ConnectionStatusIndicator className="mine" words={{ idle: "Moment…" }} />
            <Streams />
          </RoxyProvider>
          <Streams />
        </>,
      ),
    close: () => entities.close(),
  };
}

function Lost(): null {
  useEntities();
  return null;
}

/** Asks for entities below no provider. */
export const renderLost = (): string => renderToString(<Lost />);
