import { expect, onTestFinished, test, vi } from "vitest";
import { createClient, RoxyProblem, type Client, type ClientOptions, type Message } from "../../src/index.ts";
import { createManualClock, createTestHub, type FaultStep, type ManualClock, type TestHub, type TestHubOptions } from "../../src/testing.ts";

interface Stage {
  readonly hub: TestHub;
  readonly clock: ManualClock;
  readonly client: Client;
  /** The data of what the client's handler was given. */
  readonly heard: unknown[];
  readonly messages: Message[];
}

/** A client on a hub in memory, live, and time that the test moves. */
async function stage(options: Partial<ClientOptions> = {}, how: TestHubOptions = {}): Promise<Stage> {
  const clock = createManualClock();
  const hub = createTestHub({ clock, ...how });
  const token = hub.token({ sub: "ann", roles: ["waiter"] });
  const client = createClient({ url: hub.url, platform: hub.platform, token, topics: ["orders/*"], onError: () => {}, ...options });
  onTestFinished(() => {
    client.close();
    hub.close();
  });
  const heard: unknown[] = [];
  const messages: Message[] = [];
  client.subscribe("*", ({ data }) => heard.push(data));
  client.messages((batch) => messages.push(...batch));
  await clock.go(0);
  return { hub, clock, client, heard, messages };
}

const count = (hub: TestHub, n: number): unknown => hub.publish({ topic: "orders/1", type: "count", data: n });

test("nothing is lost and nothing comes twice over a cut", async () => {
  const { hub, clock, client, heard } = await stage();
  count(hub, 1);
  await clock.go(0);
  count(hub, 2); // written, and cut before it is read
  hub.faults.cut();
  count(hub, 3);
  await clock.go(0);
  expect(client.state.get()).toBe("recovering");
  await clock.go(5_000);
  expect(client.state.get()).toBe("live");
  expect(heard).toEqual([1, 2, 3]);
});

test("a half-open stream is noticed by its silence, and what was missed is given", async () => {
  const { hub, clock, client, heard } = await stage();
  hub.faults.halfOpen();
  count(hub, 1);
  await clock.go(20_000);
  expect(client.state.get()).toBe("live"); // neither side knows
  expect(heard).toEqual([]);
  expect(hub.connections()).toHaveLength(1);
  await clock.go(20_000);
  expect(client.state.get()).toBe("live");
  expect(heard).toEqual([1]);
  await clock.go(30_000);
  expect(hub.connections()).toHaveLength(1); // the hub has noticed, too
});

test("offline, what is published waits, and is there once when the network is back", async () => {
  const { hub, clock, client, heard } = await stage();
  hub.faults.offline();
  await clock.go(0);
  expect(client.state.get()).toBe("offline");
  const published = client.publish({ topic: "orders/1", data: "mine" });
  await clock.go(2_000);
  expect(hub.events()).toEqual([]);
  expect(client.sync.get()).toBe("pending");
  hub.faults.online();
  await clock.go(10_000);
  expect(await published).toMatchObject({ offset: 1 });
  expect(client.state.get()).toBe("live");
  expect(heard).toEqual(["mine"]);
  expect(hub.events()).toMatchObject([{ topic: "orders/1", data: "mine", by: "ann" }]);
});

test("a reply that is lost has the publish repeated, and the event is there once", async () => {
  const { hub, clock, client } = await stage();
  hub.faults.loseReply({ on: "events", times: 2 });
  const published = client.publish({ topic: "orders/1", data: 1 });
  await clock.go(10_000);
  expect(await published).toMatchObject({ offset: 1, duplicate: true });
  expect(hub.events()).toHaveLength(1);
});

test("a refusal is answered in the hub's place, as often as is said, and with the wait that is said", async () => {
  const { hub, clock, client } = await stage();
  hub.faults.refuse(503, { on: "stream", retryAfter: 20, times: 1 });
  hub.faults.cut();
  await clock.go(15_000);
  expect(client.state.get()).toBe("recovering");
  expect(client.problem()).toMatchObject({ code: "overloaded", status: 503, retryAfter: 20_000 });
  await clock.go(30_000);
  expect(client.state.get()).toBe("live");

  hub.faults.refuse(403, { on: "events" });
  await expect(client.publish({ topic: "orders/1" })).rejects.toMatchObject({ code: "forbidden" });
  hub.faults.refuse(502, { on: "events" });
  const repeated = client.publish({ topic: "orders/1" });
  await clock.go(10_000);
  expect(await repeated).toMatchObject({ offset: 1 });
  hub.faults.refuse(204, { on: "stream" });
  hub.faults.cut();
  await clock.go(10_000);
  expect(client.state.get()).toBe("closed");
});

test("an answer that is delayed comes when its time has come", async () => {
  const { hub, clock, client } = await stage();
  hub.faults.delay(3_000, { on: "events" });
  let answered = false;
  void client.publish({ topic: "orders/1" }).then(() => (answered = true));
  await clock.go(2_999);
  expect([hub.events().length, answered]).toEqual([1, false]);
  await clock.go(1);
  expect(answered).toBe(true);
  hub.faults.clear();
  await client.publish({ topic: "orders/1" });
});

test("a stream that a proxy holds back brings nothing until the proxy lets go", async () => {
  const { hub, clock, client, heard } = await stage();
  hub.faults.buffer();
  count(hub, 1);
  hub.faults.cut();
  await clock.go(60_000);
  expect(client.state.get()).not.toBe("live");
  hub.faults.clear();
  await clock.go(60_000);
  expect(client.state.get()).toBe("live");
  expect(heard).toEqual([1]);
});

test("a restart keeps what the hub has answered, and one that loses the log is a reset", async () => {
  const { hub, clock, client, heard, messages } = await stage({ snapshot: true });
  hub.mutate({ op: "put", topic: "orders/2", data: { a: 1 } });
  count(hub, 1);
  await clock.go(0);
  hub.faults.restart();
  await clock.go(5_000);
  count(hub, 2);
  await clock.go(0);
  expect(heard).toEqual([undefined, 1, 2]);
  hub.faults.restart({ loseLog: true });
  expect([hub.events(), hub.entity("orders/2")]).toEqual([[], undefined]);
  await clock.go(5_000);
  expect(client.state.get()).toBe("live");
  expect(messages.filter(({ kind }) => kind === "reset")).toMatchObject([{ reason: "epoch" }]);
});

test("a log that was trimmed resets who comes back from before", async () => {
  const { hub, clock, messages } = await stage();
  count(hub, 1);
  await clock.go(0);
  hub.faults.cut();
  for (let n = 2; n < 6; n++) count(hub, n);
  hub.trim(4);
  await clock.go(5_000);
  expect(messages.filter(({ kind }) => kind === "reset")).toMatchObject([{ reason: "retention" }]);
});

test("a token that is expired ends its streams and is refused, and a fresh one is asked for", async () => {
  const asked: boolean[] = [];
  const clock = createManualClock();
  const hub = createTestHub({ clock });
  const tokens = [hub.token({ sub: "ann" }), hub.token({ sub: "ann" })];
  const token = ({ fresh }: { fresh: boolean }): string => (asked.push(fresh), tokens[fresh ? 1 : 0]!);
  const client = createClient({ url: hub.url, platform: hub.platform, token, topics: ["orders/*"] });
  onTestFinished(() => client.close());
  client.connect();
  await clock.go(0);
  hub.faults.expire(tokens[0]!);
  await clock.go(5_000);
  expect(client.state.get()).toBe("live");
  expect(asked).toEqual([false, true]);
  expect((await hub.fetch(`${hub.url}/v1/devices`, { headers: { Authorization: `Bearer ${tokens[0]}` } })).status).toBe(401);
  hub.close();
});

test("a stream ends with its token by the clock of the test, and the client renews it before", async () => {
  const clock = createManualClock();
  const hub = createTestHub({ clock });
  let made = 0;
  const client = createClient({ url: hub.url, platform: hub.platform, topics: ["orders/*"], token: () => (made++, hub.token({ sub: "ann", expires: 600 })) });
  onTestFinished(() => client.close());
  client.connect();
  await clock.go(0);
  const { connection } = client.inspect();
  await clock.go(3_600_000);
  expect(client.inspect()).toMatchObject({ state: "live", connection });
  expect(made).toBeGreaterThan(5);
});

test("a script has faults happen by the count of requests", async () => {
  const { hub, clock, client, heard } = await stage();
  hub.faults.script([
    { request: 1, on: "events", fault: "loseReply" },
    { request: 2, on: "events", fault: "refuse", status: 429, retryAfter: 3 },
    { request: 3, on: "events", fault: "cut" },
    { request: 1, on: "stream", fault: "refuse", status: 503 },
    { request: 4, on: "events", fault: "restart" },
    { request: 5, on: "events", fault: "delay", ms: 10 },
  ]);
  const first = client.publish({ topic: "orders/1", data: 1 });
  await clock.go(20_000);
  expect(await first).toMatchObject({ duplicate: true }); // in the third attempt
  for (const data of [2, 3, 4]) {
    void client.publish({ topic: "orders/1", data });
    await clock.go(60_000);
  }
  expect(heard).toEqual([1, 2, 3, 4]);
  expect(hub.events()).toHaveLength(4);
});

test("a critical event is confirmed by the device that handled it, and the hub tells", async () => {
  const { hub, clock, heard } = await stage({ device: "kitchen-1" });
  const { cursor } = hub.publish({ topic: "orders/1", type: "order:new", data: 7, id: "k", ack: { by: "device", within: "30s" } });
  expect(hub.acked("k")).toMatchObject({ event: cursor, attempt: 1, receipts: [{ device: "kitchen-1", user: "ann" }] });
  await clock.go(100);
  expect(heard).toEqual([7]);
  expect(hub.acked(cursor!)).toMatchObject({ settlement: "acknowledged" });
  expect(hub.acked("none")).toBeUndefined();
});

test("a critical event that nobody confirms comes again, and is given up", async () => {
  const { hub, clock, messages } = await stage({ device: "kitchen-1", confirm: false });
  hub.publish({ topic: "orders/1", type: "order:new", data: 7, id: "k", ack: { by: "device", within: "10s", attempts: 3 } });
  await clock.go(69_999);
  expect(hub.acked("k")).toMatchObject({ attempt: 3 });
  await clock.go(1);
  expect(hub.acked("k")).toMatchObject({ settlement: "unacked", reason: "attempts" });
  expect(messages.flatMap((m) => (m.kind === "event" ? [m.attempt] : []))).toEqual([1, 2, 3]);
  expect(hub.events().at(-1)).toMatchObject({ topic: "roxy/dead-letters", type: "roxy:unacked", data: { reason: "attempts" } });
});

test("who has no token of their own comes with the cookie of who is signed in", async () => {
  const clock = createManualClock();
  const hub = createTestHub({ clock });
  const client = createClient({ url: hub.url, platform: hub.platform, topics: ["orders/*"], onError: () => {} });
  onTestFinished(() => client.close());
  client.connect();
  await clock.go(0);
  expect(client.state.get()).toBe("needs-auth");
  hub.signIn(hub.token({ sub: "ann" }));
  client.connect();
  await clock.go(5_000);
  expect(hub.connections()).toMatchObject([{ user: "ann", topics: ["orders/*"] }]);
});

test("fake timers move the hub's time and the clients'", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const hub = createTestHub();
  const client = createClient({ url: hub.url, platform: hub.platform, token: hub.token({ sub: "ann" }), topics: ["orders/*"] });
  onTestFinished(() => client.close());
  const heard: unknown[] = [];
  client.subscribe("*", ({ data }) => heard.push(data));
  await vi.advanceTimersByTimeAsync(0);
  hub.faults.cut();
  hub.publish({ topic: "orders/1", data: "näïve ☕ 🍵" });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(heard).toEqual(["näïve ☕ 🍵"]);
});

test("what the test hub does not do is refused, and said", async () => {
  const hub = createTestHub();
  const token = hub.token({ sub: "ann" });
  const ask = async (path: string, init: { method?: string; body?: unknown; type?: string } = {}): Promise<unknown> => {
    const { type = "application/json", ...rest } = init;
    return (await hub.fetch(hub.url + path, { ...rest, headers: { Authorization: `Bearer ${token}`, "Content-Type": type } })).json();
  };
  for (const path of ["/v1/ws", "/v1/openapi.json", "/v1/admin/stats"]) expect(await ask(path)).toMatchObject({ code: "not-supported" });
  expect(await ask("/v1/events", { method: "POST", body: "{}", type: "application/cloudevents+json" })).toMatchObject({ code: "not-supported" });
  expect(await ask("/v1/events", { method: "POST", body: new Uint8Array() })).toMatchObject({ code: "not-supported" });
  expect(await ask("/v1/mutations", { method: "POST", body: '{"op":"put","topic":"a","data":{"n":1e400}}' })).toMatchObject({ code: "not-supported", member: "data.n" });
  expect(await (await hub.fetch("http://elsewhere.test/v1/ping")).json()).toMatchObject({ code: "not-found" });
  hub.close();
  await expect(hub.fetch(`${hub.url}/v1/ping`)).rejects.toThrow("closed");
});

test("wrong use is an error that names what is wrong", () => {
  const hub = createTestHub();
  const wrong = <Value>(value: unknown): Value => value as Value;
  expect(() => createTestHub(wrong({ schemas: [] }))).toThrow("schemas");
  expect(() => createTestHub({ policy: wrong({ roles: {}, fields: {} }) })).toThrow("policy.fields");
  expect(() => createTestHub({ policy: { roles: { waiter: { read: ["a//b"] } } } })).toThrow("policy.roles.waiter.read[0]");
  expect(() => createTestHub({ policy: { roles: { waiter: wrong({ reads: ["a"] }) } } })).toThrow("policy.roles.waiter.reads");
  expect(() => createTestHub({ presence: { grace: "soon" } })).toThrow("presence.grace");
  expect(() => hub.token({ sub: "" })).toThrow("sub");
  expect(() => hub.token(wrong({ sub: "a", tenant: "t" }))).toThrow("tenant");
  expect(() => hub.signIn("x")).toThrow("hub.signIn");
  expect(() => hub.faults.expire("x")).toThrow("faults.expire");
  expect(() => hub.faults.refuse(200)).toThrow("status: 200");
  expect(() => hub.faults.refuse(503, { on: wrong("steam") })).toThrow('"steam"');
  expect(() => hub.faults.delay(-1)).toThrow("ms: -1");
  expect(() => hub.faults.loseReply({ times: 0 })).toThrow("times: 0");
  expect(() => hub.faults.script([{ request: 0, fault: "cut" }])).toThrow("faults.script[0].request: 0");
  expect(() => hub.faults.script([{ request: 1, fault: "cut" }, wrong<FaultStep>({ request: 1, fault: "melt" })])).toThrow('faults.script[1].fault: "melt"');
  expect(() => hub.publish({ topic: "a//b" })).toThrow(RoxyProblem);
  expect(() => hub.mutate({ op: "patch", topic: "a", patch: {} })).toThrow("not-found");
});
