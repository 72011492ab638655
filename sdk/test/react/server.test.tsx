import { createServer } from "node:http";
import { renderToString } from "react-dom/server";
import type { ReactElement } from "react";
import { expect, onTestFinished, test, vi } from "vitest";
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

/** A server that knows who asked it. */
async function witness(): Promise<{ url: string; asked(): Promise<string[]> }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(request.url!);
    response.end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url,
    async asked() {
      await fetch(`${url}/last`); // behind whatever else was begun
      return seen;
    },
  };
}

test("rendering on a server touches no network, and says the same each time", async () => {
  const { url, asked } = await witness();
  const client = createClient({ url, token: "t", topics: ["orders/*"] });
  const entities = createEntities(client);
  const complaints = vi.spyOn(console, "error");
  onTestFinished(() => complaints.mockRestore());
  const render = (): string =>
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
    );
  const html = render();
  expect(render()).toBe(html);
  expect(await asked()).toEqual(["/last"]);
  expect(complaints).not.toHaveBeenCalled();
  expect(html).toContain('<span role="status" class="roxy-status" data-status="idle" data-quality="good">Connecting…</span>');
  expect(html).toContain('<span role="status" class="mine" data-status="idle" data-quality="good">Moment…</span>');
  expect(html.match(/as rendered/g)).toHaveLength(3);
  entities.close();
});

test("hooks of entities say what the provider lacks", () => {
  function Lost(): null {
    useEntities();
    return null;
  }
  expect(() => renderToString(<Lost />)).toThrow("RoxyProvider has no entities");
});
