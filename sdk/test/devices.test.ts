import { expect, test } from "vitest";
import { type Message, type RoxyEvent } from "../src/index.ts";
import { clientOf, live, until } from "./client.ts";
import { startHub } from "./hub.ts";

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

test("a client that was closed and connects again confirms as before", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { device: "kitchen-1" });
  const settled: Message[] = [];
  client.messages((batch) => settled.push(...batch.filter((m) => m.kind === "ack" && m.settled)));
  client.subscribe("order:new", () => {});
  await live(client);
  client.close();
  client.connect();
  await live(client);
  await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "30s" } });
  expect(await until(() => settled[0])).toMatchObject({ settled: "acknowledged" });
});

test("a confirmation is kept while there is no token to tell it with", async () => {
  const hub = await startHub();
  const token = hub.token({ sub: "ann", roles: ["everything"] });
  const errors: unknown[] = [];
  let asked = 0; // since the event
  const source = (): string => {
    if (asked++ === 1) throw new Error("no network");
    return token;
  };
  const client = clientOf(hub, { token: source, device: "kitchen-1", onError: (error) => errors.push(error) });
  client.subscribe("order:new", () => (asked = 1));
  await live(client);
  asked = 100;
  const { cursor } = await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "device", within: "30s" } });
  await until(() => asked === 2);
  client.close(); // tells once more
  const judge = clientOf(hub, { token });
  for (;;) {
    const { settlement } = (await judge.call({ method: "GET", path: `/v1/events/${cursor}/receipts` })) as { settlement?: string };
    if (settlement === "acknowledged") break;
  }
  expect(errors).toEqual([]);
});

test("a critical event whose handler throws comes again to all its handlers, and no more when all bore it", async () => {
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
  expect(heard).toEqual(["printer 1", "screen", "printer 2", "screen"]);
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
