import { expect, onTestFinished, test } from "vitest";
import { createClient, type Message, type RoxyEvent } from "../src/index.ts";
import { globalPlatform } from "../src/browser.ts";
import { ALL, clientOf, live, numbers, until } from "./client.ts";
import { startHub } from "./hub.ts";

test.each(ALL)("an event that is published comes to its handler, typed and whole, over %s", async (over) => {
  const hub = await startHub();
  const client = clientOf(hub, { over });
  const heard: RoxyEvent[] = [];
  client.subscribe("order:new", (event) => heard.push(event));
  client.subscribe("*", (event) => heard.push(event), { topic: "orders/8" });
  await live(client);
  expect(client.inspect()).toMatchObject({ state: "live", transport: over });
  const published = await client.publish({ topic: "orders/7", type: "order:new", data: { table: 7 } });
  const event = await until(() => heard[0]);
  expect(event).toMatchObject({ kind: "event", type: "order:new", topic: "orders/7", data: { table: 7 }, by: "ann", live: true });
  expect(event.cursor).toBe(published.cursor);
  expect(event.correlation).toBe(published.id);
  expect(event.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  expect(heard).toHaveLength(1);
});

test.each(ALL)("nothing is lost or comes twice over kill -9 of the hub, over %s", async (over) => {
  const hub = await startHub();
  const client = clientOf(hub, { over });
  const writer = clientOf(hub, { topics: [] });
  const heard: RoxyEvent[] = [];
  client.subscribe("count", (event) => heard.push(event));
  await live(client);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 10; i++) await writer.publish({ topic: "orders/7", type: "count", data: round * 10 + i });
    await hub.kill();
    await until(() => client.state.get() === "recovering");
    expect(client.continuity.get()).toBe("catching-up");
    await hub.start();
  }
  await live(client);
  await writer.publish({ topic: "orders/7", type: "count", data: 30 });
  await until(() => heard.length >= 31);
  expect(numbers(heard)).toEqual(Array.from({ length: 31 }, (_, i) => i));
});

test("a publish whose answer is lost is made again, and the event is there once", async () => {
  const hub = await startHub();
  const platform = globalPlatform();
  let lose = 2;
  const fetch: typeof platform.fetch = async (url, init) => {
    const answer = await platform.fetch!(url, init);
    if (url.endsWith("/v1/events") && lose-- > 0) throw new TypeError("the answer was lost");
    return answer;
  };
  const heard: RoxyEvent[] = [];
  const client = createClient({ url: hub.url, token: hub.token({ sub: "ann", roles: ["everything"] }), topics: ["orders/*"], platform: { ...platform, fetch } });
  onTestFinished(() => client.close());
  client.subscribe("*", (event) => heard.push(event));
  await live(client);
  const sending = client.publish({ topic: "orders/7", data: 1 });
  expect(client.sync.get()).toBe("pending");
  expect(await sending).toMatchObject({ duplicate: true });
  expect(client.sync.get()).toBe("synced");
  await client.publish({ topic: "orders/7", data: 2 });
  await until(() => heard.length >= 2);
  expect(numbers(heard)).toEqual([1, 2]);
});

test("entities of a snapshot come before what changes them, and a commit has its change", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { snapshot: true });
  await client.call({ method: "POST", path: "/v1/mutations", body: { id: "m-1", op: "put", topic: "orders/7", data: { status: "open" } } });
  const all: Message[] = [];
  client.messages((batch) => all.push(...batch));
  client.connect();
  await live(client);
  await client.call({ method: "POST", path: "/v1/mutations", body: { id: "m-2", op: "patch", topic: "orders/7", patch: { status: "ready" } } });
  await until(() => all.length === 4);
  expect(all).toMatchObject([
    { kind: "snapshot" },
    { kind: "entity", topic: "orders/7", version: 1, data: { status: "open" } },
    { kind: "live", entities: 1 },
    { kind: "event", topic: "orders/7", change: { op: "patch", version: 2, base: 1, patch: { status: "ready" }, mutation: "m-2" } },
  ]);
});

test("a hole that cannot be replayed is told, and continuity comes back when the app has fetched", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { after: "anotherlife.7" });
  let fetched: (() => void) | undefined;
  client.onReset(({ reason }) => {
    expect(reason).toBe("epoch");
    return new Promise<void>((done) => (fetched = done));
  });
  client.connect();
  const done = await until(() => fetched);
  await until(() => client.state.get() === "live");
  expect(client.continuity.get()).toBe("reset");
  done();
  await live(client);
});

test("a hole that nobody fills is not forgotten", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { after: "anotherlife.7" });
  const all: Message[] = [];
  client.messages((batch) => all.push(...batch));
  client.connect();
  await until(() => all.some(({ kind }) => kind === "live"));
  expect(client.continuity.get()).toBe("reset");
  client.recovered();
  expect(client.continuity.get()).toBe("ok");
});

test("topics come and go with their subscriptions, without a hole in the others", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { topics: ["orders/*"] });
  const orders: RoxyEvent[] = [];
  const tables: RoxyEvent[] = [];
  client.subscribe("count", (event) => orders.push(event), { topic: "orders/*" });
  await live(client);
  await client.publish({ topic: "orders/7", type: "count", data: 0 });
  client.subscribe("*", (event) => tables.push(event), { topic: "tables/*" });
  await client.publish({ topic: "orders/7", type: "count", data: 1 });
  await until(() => client.state.get() === "live" && orders.length === 2);
  await client.publish({ topic: "tables/3", data: "bill" });
  await until(() => tables.length === 1);
  expect(numbers(orders)).toEqual([0, 1]);
  expect(client.inspect().topics).toEqual(["orders/*", "tables/*"]);
});

test("round trips are measured", async () => {
  const hub = await startHub();
  const client = clientOf(hub);
  client.connect();
  await until(() => client.quality.get().rttMs);
  expect(client.quality.get().clockOffsetMs).toBeTypeOf("number");
});
