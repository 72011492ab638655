import { expect, onTestFinished, test } from "vitest";
import { createClient, type RoxyEvent } from "../../src/index.ts";
import { createPublisher, RoxyProblem, type Publisher } from "../../src/server.ts";
import { clientOf, live, numbers, until } from "../client.ts";
import { startHub, type Hub } from "../hub.ts";
import { lossyWay } from "./lossy.ts";

interface Events {
  count: number;
  "order:new": { table: number };
}

const publisherOf = (hub: Hub, url = hub.url): Publisher<Events> => createPublisher({ url, token: hub.token({ sub: "app", roles: ["everything"] }) });

/** What is heard on orders/*, from now on. */
async function heardAt(hub: Hub): Promise<RoxyEvent[]> {
  const client = clientOf(hub);
  const heard: RoxyEvent[] = [];
  client.subscribe("*", (event) => heard.push(event));
  await live(client);
  return heard;
}

test("a publish whose answers are lost is one event", async () => {
  const hub = await startHub();
  const way = await lossyWay(hub.url);
  const heard = await heardAt(hub);
  const app = publisherOf(hub, way.url);
  way.lose(2);
  expect(await app.publish({ topic: "orders/7", type: "count", data: 1 })).toMatchObject({ duplicate: true });
  expect(way.passed()).toBe(3);
  await app.publish({ topic: "orders/7", type: "count", data: 2 });
  await until(() => heard.length >= 2);
  expect(numbers(heard)).toEqual([1, 2]);
});

test("an ephemeral event is sent once, whatever becomes of the answer", async () => {
  const hub = await startHub();
  const way = await lossyWay(hub.url);
  const heard = await heardAt(hub);
  const app = publisherOf(hub, way.url);
  way.lose(1);
  const sending = app.publishAll([{ topic: "orders/7", type: "count", data: 1, ephemeral: true }, { topic: "orders/7", type: "count", data: 2 }]);
  await expect(sending).rejects.toMatchObject({ code: "network" });
  expect(way.passed()).toBe(1);
  await until(() => heard.length >= 2);
  expect(numbers(heard).sort()).toEqual([1, 2]); // an ephemeral event may overtake what is logged
});

test("work that is done again is one event of each kind, and another work is not it", async () => {
  const hub = await startHub();
  const heard = await heardAt(hub);
  const work = async (name: string): Promise<void> => {
    const app = publisherOf(hub); // as another process would
    await app.emit("order:new", { table: 3 }, { topic: "orders/7", work: name });
    await app.publishAll([{ topic: "orders/7", type: "count", data: 1 }, { topic: "orders/7", type: "count", data: 1 }], { work: name });
  };
  await work("payment 17");
  await work("payment 17");
  await Promise.all([work("payment 17"), work("payment 18")]);
  await until(() => heard.length >= 6);
  expect(numbers(heard)).toEqual([{ table: 3 }, 1, 1, { table: 3 }, 1, 1]);
});

test("work that says something else the second time is refused, and says so", async () => {
  const hub = await startHub();
  const app = publisherOf(hub);
  await app.publish({ topic: "orders/7", type: "count", data: 1 }, { work: "w" });
  await expect(app.publish({ topic: "orders/7", type: "count", data: 2 }, { work: "w" })).rejects.toMatchObject({ code: "key-reused", status: 422 });
  await app.publish({ topic: "orders/7", type: "count", data: 2, id: "my own key" }, { work: "w" });
});

test("all are published or none, in order, and a refusal names the member", async () => {
  const hub = await startHub();
  const heard = await heardAt(hub);
  const app = publisherOf(hub);
  const refused = app.publishAll([{ topic: "orders/7", type: "count", data: 1 }, { topic: "orders//7", type: "count", data: 2 }]);
  await expect(refused).rejects.toMatchObject({ code: "invalid-topic", members: { member: "[1].topic" } });
  const published = await app.publishAll([{ topic: "orders/7", type: "count", data: 1 }, { topic: "orders/8", type: "count", data: 2 }]);
  expect(await app.publishAll([])).toEqual([]);
  await until(() => heard.length >= 2);
  expect(heard.map(({ cursor }) => cursor)).toEqual(published.map(({ cursor }) => cursor));
});

test("a refused token is asked for afresh once, by each call on its own", async () => {
  const hub = await startHub();
  const good = hub.token({ sub: "app", roles: ["everything"] });
  const asked: boolean[] = [];
  const app = createPublisher({ url: `${hub.url}/`, token: async ({ fresh }) => (asked.push(fresh), fresh ? good : "expired") });
  await Promise.all([app.publish({ topic: "orders/7" }), app.publish({ topic: "orders/8" })]);
  expect(asked.sort()).toEqual([false, false, true, true]);
  await expect(createPublisher({ url: hub.url, token: () => "never good" }).publish({ topic: "orders/7" })).rejects.toMatchObject({ status: 401 });
});

test("a call that is given up ends with the caller's reason, while it waits too", async () => {
  const hub = await startHub();
  const app = publisherOf(hub);
  await hub.kill();
  const abort = new AbortController();
  const sending = app.publish({ topic: "orders/7", type: "count", data: 1 }, { signal: abort.signal });
  setTimeout(() => abort.abort(new Error("the visitor left")));
  await expect(sending).rejects.toThrow("the visitor left");
  await expect(app.ticket({ signal: abort.signal })).rejects.toThrow("the visitor left");
});

test("a hub that is restarted meanwhile is published to", async () => {
  const hub = await startHub();
  await hub.kill();
  const sending = publisherOf(hub).publish({ topic: "orders/7", type: "count", data: 1 });
  await hub.start();
  expect(await sending).toHaveProperty("cursor");
});

test("the trace of the request that is served goes on in the event", async () => {
  const hub = await startHub();
  const heard = await heardAt(hub);
  const trace = "0af7651916cd43dd8448eb211c80319c";
  await publisherOf(hub).publish({ topic: "orders/7" }, { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  await publisherOf(hub).publish({ topic: "orders/7" });
  await until(() => heard.length >= 2);
  expect(heard[0]!.traceparent).toContain(trace);
  expect(heard[1]!.traceparent).toMatch(/^00-(?!0af7)[0-9a-f]{32}-/);
});

test("a ticket opens a stream, once", async () => {
  const hub = await startHub();
  const { ticket, expires } = await publisherOf(hub).ticket();
  expect(Date.parse(expires)).toBeGreaterThan(Date.now());
  const open = async (): Promise<number> => {
    const answer = await fetch(`${hub.url}/v1/stream?topic=orders/*&ticket=${ticket}`, { headers: { "Roxy-Client": "test" } });
    await answer.body?.cancel();
    return answer.status;
  };
  expect([await open(), await open()]).toEqual([200, 401]);
});

test("a publisher without an address or a token is refused when it is made", () => {
  expect(() => createPublisher({ url: "/api", token: "t" })).toThrow('url "/api": want the hub\'s address');
  expect(() => createPublisher({ url: "https://hub.example", token: "" })).toThrow("token: want one");
});

test("what a publisher throws is what a client throws", async () => {
  const hub = await startHub();
  const client = createClient({ url: hub.url, token: "nobody" });
  onTestFinished(() => client.close());
  await expect(client.publish({ topic: "orders/7" })).rejects.toBeInstanceOf(RoxyProblem);
  await expect(publisherOf(hub).publish({ topic: "roxy/hello", type: "count", data: 1 })).rejects.toBeInstanceOf(RoxyProblem);
});
