import { expect, onTestFinished, test } from "vitest";
import { createClient, type Client, type ClientOptions, type Message, type RoxyEvent } from "../src/index.ts";
import { webSocket } from "../src/ws.ts";
import { globalPlatform } from "../src/browser.ts";
import { startHub, type Hub } from "./hub.ts";

const BOTH = ["sse", "ws"] as const;

/** A client that ends with the test. */
function clientOf(hub: Hub, options: Partial<ClientOptions> & { over?: (typeof BOTH)[number] } = {}): Client {
  const { over = "sse", ...rest } = options;
  const platform = globalPlatform();
  const client = createClient({
    url: hub.url,
    token: hub.token({ sub: "ann", roles: ["everything"] }),
    topics: ["orders/*"],
    onError: () => {},
    // A platform without a streaming fetch has the socket left.
    ...(over === "ws" ? { transports: [webSocket], platform: { ...platform, fetch: buffered(platform.fetch!) } } : {}),
    ...rest,
  });
  onTestFinished(() => client.close());
  return client;
}

/** A fetch that does not stream: the answer's body is missing, as in React Native. */
function buffered(fetch: NonNullable<ReturnType<typeof globalPlatform>["fetch"]>): typeof fetch {
  return async (url, init) => {
    if (!url.includes("/v1/stream")) return fetch(url, init);
    return { status: 200, headers: { get: () => "text/event-stream" }, body: null, text: async () => "" };
  };
}

/** Waits until get answers what is wanted; the test's time limit is the only clock. */
async function until<Value>(get: () => Value | undefined | false): Promise<Value> {
  for (;;) {
    const value = get();
    if (value !== undefined && value !== false) return value as Value;
    await new Promise((soon) => setTimeout(soon, 5));
  }
}

const live = (client: Client): Promise<boolean> => until(() => client.continuity.get() === "ok");
const numbers = (events: readonly RoxyEvent[]): unknown[] => events.map(({ data }) => data);

test.each(BOTH)("an event that is published comes to its handler, typed and whole, over %s", async (over) => {
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

test.each(BOTH)("nothing is lost or comes twice over kill -9 of the hub, over %s", async (over) => {
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

test("a refusal of a publish says which and why, and is not tried again", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { token: hub.token({ sub: "ann", roles: ["kitchen"] }) });
  await expect(client.publish({ topic: "menu/1", data: 1 })).rejects.toMatchObject({ name: "RoxyProblem", code: "forbidden", status: 403 });
  expect(client.state.get()).toBe("idle"); // to publish opens no stream
});

test("a stream that may not be read fails and says what", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { token: hub.token({ sub: "ann", roles: ["kitchen"] }), topics: ["menu/*"] });
  client.connect();
  await until(() => client.state.get() === "failed");
  expect(client.problem()).toMatchObject({ code: "forbidden" });
});

test("a token that is refused is asked for anew, and a second refusal waits for another one", async () => {
  const hub = await startHub();
  const good = hub.token({ sub: "ann", roles: ["everything"] });
  const asked: boolean[] = [];
  let next = [hub.token({ sub: "ann", roles: ["everything"], expires: -60 }), good];
  const client = clientOf(hub, {
    token: ({ fresh }) => {
      asked.push(fresh);
      return next[Math.min(asked.length, next.length) - 1]!;
    },
  });
  client.connect();
  await live(client);
  expect(asked).toEqual([false, true]);
  client.close();

  next = ["bad"];
  client.connect();
  await until(() => client.state.get() === "needs-auth");
  expect(client.quality.get()).toMatchObject({ quality: "poor", reasons: ["disconnected"] });
  next = [good];
  client.connect();
  await live(client);
});

test.each(BOTH)("a stream outlives its token, which is renewed before it expires, over %s", async (over) => {
  const hub = await startHub();
  let tokens = 0;
  const client = clientOf(hub, {
    over,
    token: ({ fresh }) => {
      if (fresh) tokens++;
      return hub.token({ sub: "ann", roles: ["everything"], expires: fresh ? 3600 : 6 });
    },
  });
  client.connect();
  await live(client);
  const { connection } = client.inspect();
  await until(() => tokens === 1);
  await new Promise((expired) => setTimeout(expired, 3_000)); // the first token has run out by the hub's clock
  expect(client.inspect()).toMatchObject({ state: "live", connection });
});

test("a device confirms a critical event after its handler, and only then", async () => {
  const hub = await startHub();
  const token = hub.token({ sub: "ann", roles: ["everything"] });
  const client = clientOf(hub, { token, device: "kitchen-1" });
  let cooked: (() => void) | undefined;
  client.subscribe("order:new", () => new Promise<void>((done) => (cooked = done)));
  await live(client);
  const { cursor } = await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "30s" } });
  const receipts = async (): Promise<{ settlement?: string; receipts: { confirmed?: string }[] }> => {
    const answer = await client.call({ method: "GET", path: `/v1/events/${cursor}/receipts` });
    return answer as { settlement?: string; receipts: { confirmed?: string }[] };
  };
  const done = await until(() => cooked);
  expect((await receipts()).receipts[0]?.confirmed).toBeUndefined();
  done();
  for (;;) if ((await receipts()).settlement === "acknowledged") break;
});

test("a critical event whose handler throws comes again to that handler and to no other", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { device: "kitchen-1" });
  const heard: string[] = [];
  client.subscribe("order:new", (event) => {
    heard.push(`printer ${event.attempt}`);
    if (event.attempt === 1) throw new Error("out of paper");
  });
  client.subscribe("order:new", () => heard.push("screen"));
  const settled: Message[] = [];
  client.messages((batch) => settled.push(...batch.filter((m) => m.kind === "ack" && m.settled)));
  await live(client);
  await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "1s" } });
  expect(await until(() => settled[0])).toMatchObject({ settled: "acknowledged" });
  expect(heard).toEqual(["printer 1", "screen", "printer 2"]);
});

test("a critical event that nobody listens to is not confirmed", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { device: "kitchen-1" });
  const settled: Message[] = [];
  client.messages((batch) => settled.push(...batch.filter((m) => m.kind === "ack" && m.settled)));
  client.connect();
  await live(client);
  await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "1s", attempts: 1 } });
  expect(await until(() => settled[0])).toMatchObject({ settled: "unacked" });
});

test("with confirm false the app confirms", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { device: "kitchen-1", confirm: false });
  const news: Message[] = [];
  client.messages((batch) => news.push(...batch.filter((m) => m.kind === "ack")));
  const heard: RoxyEvent[] = [];
  client.subscribe("order:new", (event) => heard.push(event));
  await live(client);
  await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "30s" } });
  await until(() => news.some((m) => m.kind === "ack" && m.status === "delivered"));
  client.confirm(heard[0]!);
  await until(() => news.some((m) => m.kind === "ack" && m.settled === "acknowledged"));
});

test("a device that comes back with nothing resumes where its handlers were done", async () => {
  const hub = await startHub();
  const first = clientOf(hub, { device: "till-1" });
  const heard: unknown[] = [];
  // The third is never done: the page dies over it.
  first.subscribe("count", ({ data }) => (heard.push(data), data === 2 ? new Promise(() => {}) : undefined));
  await live(first);
  for (let i = 0; i < 5; i++) await first.publish({ topic: "orders/7", type: "count", data: i });
  await until(() => heard.length === 5);
  const devices = async (): Promise<string> => JSON.stringify(await first.call({ method: "GET", path: "/v1/devices" }));
  const second = (await first.publish({ topic: "elsewhere", data: 0 })).offset! - 4;
  for (;;) if ((await devices()).includes(`.${second}"`)) break;
  first.close();

  const again = clientOf(hub, { device: "till-1" });
  const replayed: unknown[] = [];
  again.subscribe("count", ({ data }) => replayed.push(data));
  await until(() => replayed.length === 3);
  expect(replayed).toEqual([2, 3, 4]);
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
