import { expect, test } from "vitest";
import { createPublisher, type Publisher } from "../../src/server.ts";
import { clientOf, live, until } from "../client.ts";
import { startHub, type Hub } from "../hub.ts";
import { lossyWay } from "./lossy.ts";

interface Order {
  table: number;
  status?: "open" | "ready";
}
interface Entities {
  "orders/*": Order;
  "tables/*": { seats: number };
}

const publisherOf = (hub: Hub, url = hub.url): Publisher<Record<string, unknown>, Entities> => createPublisher({ url, token: hub.token({ sub: "app", roles: ["everything"] }) });

test("a change whose answers are lost is made once, and guards hold", async () => {
  const hub = await startHub();
  const way = await lossyWay(hub.url);
  const app = publisherOf(hub, way.url);
  way.lose(2);
  expect(await app.mutate({ op: "put", topic: "orders/7", data: { table: 3 }, guard: "version", base: 0 })).toMatchObject({ topic: "orders/7", version: 1, duplicate: true });
  expect(await app.mutate({ op: "patch", topic: "orders/7", patch: { status: "ready" }, guard: "version", base: 1, type: "order:ready" })).toMatchObject({ version: 2 });
  const conflict = app.mutate({ op: "patch", topic: "orders/7", patch: { status: "open" }, guard: "fields", base: 1 });
  await expect(conflict).rejects.toMatchObject({ code: "version-conflict", members: { fields: ["status"], current: { version: 2, data: { table: 3, status: "ready" } } } });
  expect(await app.mutate({ op: "patch", topic: "orders/7", patch: { table: 4 }, guard: "fields", base: 1 })).toMatchObject({ version: 3 });
  expect(await app.mutate({ op: "delete", topic: "orders/7" })).toMatchObject({ version: 4 });
  expect(await app.entity("orders/7")).toBeUndefined();
});

test("changes are made all or none, and work that is done again is made once", async () => {
  const hub = await startHub();
  const app = publisherOf(hub);
  const refused = app.mutateAll([
    { op: "put", topic: "orders/7", data: { table: 3 } },
    { op: "patch", topic: "orders/8", patch: { status: "open" } },
  ]);
  await expect(refused).rejects.toMatchObject({ code: "not-found", members: { member: expect.stringContaining("[1]") } });
  expect(await app.mutateAll([])).toEqual([]);
  const seat = async (): Promise<readonly object[]> =>
    publisherOf(hub).mutateAll([{ op: "put", topic: "orders/7", data: { table: 3 } }, { op: "put", topic: "tables/3", data: { seats: 4 } }], { work: "party 9" });
  const [once, again] = [await seat(), await seat()];
  expect(again).toEqual(once.map((result) => ({ ...result, duplicate: true })));
  expect(await app.entity("orders/7")).toMatchObject({ topic: "orders/7", version: 1, data: { table: 3 }, cursor: expect.any(String) });
});

test("a page that follows a snapshot's cursor has every entity at every version", async () => {
  const hub = await startHub("limits: { publish: { rate: 5000, burst: 5000 } }");
  const app = publisherOf(hub);
  const topics = Array.from({ length: 1_001 }, (_, i) => `orders/${String(i).padStart(4, "0")}` as const);
  for (const part of [topics.slice(0, 1_000), topics.slice(1_000)]) await app.mutateAll(part.map((topic) => ({ op: "put", topic, data: { table: 1 } })));
  await app.mutate({ op: "put", topic: "tables/3", data: { seats: 4 } });
  const { data, cursor } = await app.snapshot(["orders/*", "tables/*", "tables/3"]);
  expect(data.map(({ topic }) => topic)).toEqual([...topics, "tables/3"]); // over two pages, and each once
  await app.mutate({ op: "patch", topic: "orders/0000", patch: { status: "ready" } });
  const client = clientOf(hub, { after: cursor, topics: ["orders/*", "tables/*"] });
  const versions: (number | undefined)[] = [];
  client.subscribe("*", ({ change }) => versions.push(change?.version));
  await live(client);
  await app.mutate({ op: "patch", topic: "orders/0000", patch: { status: "open" } });
  await until(() => versions.length >= 2);
  expect(versions).toEqual([2, 3]);
  await expect(app.snapshot([])).rejects.toThrow("patterns: want at least one");
});

test("a page of the app's own database misses nothing that is published while that is read", async () => {
  const hub = await startHub();
  const app = publisherOf(hub);
  await app.publish({ topic: "calls/3", type: "call", data: "before" });
  const cursor = await app.cursor("calls/*");
  await app.publish({ topic: "calls/3", type: "call", data: "meanwhile" });
  const client = clientOf(hub, { after: cursor, topics: ["calls/*"] });
  const heard: unknown[] = [];
  client.subscribe("call", ({ data }) => heard.push(data));
  await until(() => heard.length > 0);
  expect(heard).toEqual(["meanwhile"]);
});

test("who is present, and who has confirmed what, can be asked for", async () => {
  const hub = await startHub(`    host: { read: ["**", "roxy/presence"], publish: ["**"] }`);
  const app = createPublisher({ url: hub.url, token: hub.token({ sub: "app", roles: ["host"] }) });
  const client = clientOf(hub, { device: "tablet-1" });
  client.subscribe("*", () => {});
  await live(client);
  expect(await app.presence("orders/7")).toMatchObject({ users: [{ user: "ann", devices: [{ device: "tablet-1", connected: true, transport: "sse" }] }] });
  expect((await app.presence()).users).toHaveLength(1);
  expect((await app.presence("tables/3")).users).toEqual([]);
  const { cursor } = await app.emit("order:new", {}, { topic: "orders/7", requiresAck: true });
  for (;;) {
    const receipts = await app.receipts(cursor!);
    expect(receipts).toMatchObject({ event: cursor, by: "app", ack: { by: "any" } });
    if (receipts.settlement) {
      expect(receipts).toMatchObject({ settlement: "acknowledged", receipts: [{ device: "tablet-1", confirmed: expect.any(String) }] });
      return;
    }
    await new Promise((soon) => setTimeout(soon, 20));
  }
});
