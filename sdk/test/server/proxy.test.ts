import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { createClient, globalPlatform, type Client, type RoxyEvent } from "../../src/index.ts";
import { createPublisher, proxyCall, proxyStream, type ProxyOptions } from "../../src/server.ts";
import { live, numbers, until } from "../client.ts";
import { startHub, type Hub } from "../hub.ts";
import { listening } from "./lossy.ts";

const ann = (hub: Hub): string => hub.token({ sub: "ann", roles: ["everything"] });
const STREAM = "https://app.example/api/v1/stream?topic=orders/*";

/** An app that hands /api/v1/… on, as a route handler of a framework on Node does. */
async function appBefore(hub: Hub, token: ProxyOptions["token"] = ann(hub)): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const parts: Buffer[] = [];
      for await (const part of incoming) parts.push(part as Buffer);
      const gone = new AbortController();
      outgoing.on("close", () => gone.abort());
      const request = new Request(`http://app.example${incoming.url}`, {
        method: incoming.method!,
        headers: new Headers(incoming.headers as Record<string, string>),
        signal: gone.signal,
        ...(parts.length > 0 && { body: Buffer.concat(parts) }),
      });
      const answer = await (request.url.includes("/stream") ? proxyStream : proxyCall)(request, { url: hub.url, token });
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.flushHeaders();
      const reader = answer.body?.getReader();
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) outgoing.write(next.value);
      outgoing.end();
    })();
  });
  return `${await listening(server)}/api`;
}

/** A client as a page has it, without a token. */
function pageOf(url: string, more: Partial<Parameters<typeof createClient>[0]> = {}): Client {
  const client = createClient({ url, topics: ["orders/*"], onError: () => {}, ...more });
  onTestFinished(() => client.close());
  return client;
}

/** Waits until the hub has, or has not, a stream of the device. */
async function connected(hub: Hub, device: string, wanted: boolean): Promise<void> {
  for (;;) {
    const answer = await fetch(`${hub.url}/v1/devices`, { headers: { Authorization: `Bearer ${ann(hub)}` } });
    const { devices } = (await answer.json()) as { devices: { device: string; connected: boolean }[] };
    if ((devices.find((known) => known.device === device)?.connected ?? false) === wanted) return;
    await new Promise((soon) => setTimeout(soon, 20));
  }
}

test("nothing is lost or comes twice through the app, over kill -9 of the hub", async () => {
  const hub = await startHub();
  const client = pageOf(await appBefore(hub));
  const writer = createPublisher({ url: hub.url, token: ann(hub) });
  const heard: RoxyEvent[] = [];
  client.subscribe("count", (event) => heard.push(event));
  await live(client);
  for (let i = 0; i < 6; i++) {
    await writer.publish({ topic: "orders/7", type: "count", data: i });
    if (i % 2 === 0) continue;
    await hub.kill();
    await until(() => client.state.get() === "recovering");
    await hub.start();
  }
  await until(() => heard.length >= 6);
  await live(client);
  await writer.publish({ topic: "orders/7", type: "count", data: 6 });
  await until(() => heard.length >= 7);
  expect(numbers(heard)).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("a native EventSource goes on where it was, over kill -9 of the hub", async () => {
  const hub = await startHub();
  const source = new EventSource(`${await appBefore(hub)}/v1/stream?topic=orders/*`);
  onTestFinished(() => source.close());
  const writer = createPublisher({ url: hub.url, token: ann(hub) });
  const heard: unknown[] = [];
  let begun = 0;
  source.addEventListener("roxy:hello", () => begun++);
  source.addEventListener("count", ({ data }) => heard.push((JSON.parse(data) as { data: unknown }).data));
  await until(() => begun === 1);
  await writer.publish({ topic: "orders/7", type: "count", data: 0 });
  await until(() => heard.length === 1);
  await hub.kill();
  await until(() => source.readyState === EventSource.CONNECTING);
  await hub.start();
  await writer.publish({ topic: "orders/7", type: "count", data: 1 });
  await until(() => heard.length >= 2);
  await writer.publish({ topic: "orders/7", type: "count", data: 2 });
  await until(() => heard.length >= 3);
  expect(heard).toEqual([0, 1, 2]);
});

test("all that a page's client calls goes through the app, and the token is not seen", async () => {
  const hub = await startHub();
  const url = await appBefore(hub);
  const platform = globalPlatform();
  const fetched: string[] = [];
  const fetch: typeof platform.fetch = (at, init) => (fetched.push(JSON.stringify([at, init])), platform.fetch!(at, init));
  const client = pageOf(url, { device: "tablet-1", platform: { ...platform, fetch } });
  const heard: RoxyEvent[] = [];
  client.subscribe("order:new", (event) => heard.push(event));
  let settled = false;
  client.messages((batch) => void (settled ||= batch.some((message) => message.kind === "ack" && message.settled === "acknowledged")));
  await live(client);
  await client.call({ method: "POST", path: "/v1/mutations", body: { id: "m-1", op: "put", topic: "orders/7", data: { status: "open" } } });
  expect(await client.call({ method: "GET", path: "/v1/entities/orders/7" })).toMatchObject({ version: 1, data: { status: "open" } });
  expect(await client.call({ method: "GET", path: "/v1/entities?match=orders/*" })).toMatchObject({ entities: [{ topic: "orders/7" }] });
  const { cursor } = await client.publish({ topic: "orders/7", type: "order:new", data: 1, ack: { by: "any" } });
  await until(() => heard[0]);
  await until(() => settled);
  const receipts = await client.call({ method: "GET", path: `/v1/events/${cursor}/receipts` });
  expect(receipts).toMatchObject({ settlement: "acknowledged", receipts: [{ device: "tablet-1" }] });
  expect(await client.call({ method: "GET", path: "/v1/ping", bare: true })).toHaveProperty("time");
  expect(fetched.join()).not.toMatch(/bearer/i);
  const problem = await client.publish({ topic: "orders//7" }).catch((error: unknown) => error);
  expect(problem).toMatchObject({ code: "invalid-topic", status: 400, members: { member: "[0].topic" } });
});

test("the hub's stream ends when the browser goes", async () => {
  const hub = await startHub();
  for (const leave of ["abort", "cancel"] as const) {
    const gone = new AbortController();
    const answer = await proxyStream(new Request(`${STREAM}&device=t-1`, { signal: gone.signal }), { url: hub.url, token: ann(hub) });
    expect(answer.headers.get("Content-Type")).toBe("text/event-stream");
    expect(answer.headers.get("Cache-Control")).toContain("no-transform");
    const reader = answer.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toContain("roxy:hello");
    await connected(hub, "t-1", true);
    if (leave === "abort") gone.abort();
    else await reader.cancel();
    await connected(hub, "t-1", false);
  }
});

test("the app's stream ends, and does not fail, when the hub dies", async () => {
  const hub = await startHub();
  const answer = await proxyStream(new Request(STREAM), { url: hub.url, token: ann(hub) });
  const reader = answer.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes("roxy:live")) text += decoder.decode((await reader.read()).value);
  await hub.kill();
  for (let done = false; !done; ) ({ done } = await reader.read());
  expect(text).toContain("roxy:live");
});

test("a browser's query and Last-Event-ID reach the hub, its cookies, tickets and tokens do not", async () => {
  const asked: { url: string; headers: Record<string, unknown> }[] = [];
  const upstream = createServer(({ url, headers }, response) => {
    asked.push({ url: url!, headers });
    response.writeHead(200, { "Content-Type": "text/event-stream", "Set-Cookie": "a=b", "Keep-Alive": "timeout=5", Server: "hub" }).end("data: 1\n\n");
  });
  const url = await listening(upstream);
  const headers = { "Last-Event-ID": "k.7", Cookie: "session=1", Authorization: "Bearer theirs", "Roxy-Client": "js/1", "X-Forwarded-For": "192.0.2.7", Origin: "https://app.example" };
  const request = new Request("https://app.example/x/v1/stream?topic=orders%2F*&topic=tables/**&device=t-1&ticket=theirs&unknown=1", { headers });
  const answer = await proxyStream(request, { url, token: "ours" });
  expect(await answer.text()).toBe("data: 1\n\n");
  expect([...answer.headers.keys()]).toEqual(["content-type"]);
  expect(new URLSearchParams(asked[0]!.url.split("?")[1]).toString()).toBe("topic=orders%2F*&topic=tables%2F**&device=t-1&unknown=1");
  expect(asked[0]!.headers).toMatchObject({ "last-event-id": "k.7", authorization: "Bearer ours", "roxy-client": "js/1", "x-forwarded-for": "192.0.2.7", "accept-encoding": "identity" });
  expect(asked[0]!.headers).not.toHaveProperty("cookie");
  expect(asked[0]!.headers).not.toHaveProperty("origin");
});

test("what the hub refuses comes as it was refused, and a refused token is asked for afresh once", async () => {
  const hub = await startHub();
  const asked: boolean[] = [];
  const problemOf = async (topic: string, token: ProxyOptions["token"]): Promise<object> => {
    const answer = await proxyStream(new Request(`https://app.example/v1/stream?topic=${topic}`, { headers: { "Roxy-Client": "t" } }), { url: hub.url, token });
    expect(answer.headers.get("Content-Type")).toBe("application/problem+json");
    return { status: answer.status, ...((await answer.json()) as object) };
  };
  expect(await problemOf("payments/*", hub.token({ sub: "w", roles: ["waiter"] }))).toMatchObject({ status: 403, code: "forbidden", member: "topic" });
  expect(await problemOf("orders/*", ({ fresh }) => (asked.push(fresh), "expired"))).toMatchObject({ status: 401, code: "unauthenticated" });
  expect(asked).toEqual([false, true]);
  expect(await problemOf("orders/*", "")).toMatchObject({ status: 401 });
});

test("a hub that is away is a problem to a client, and a goodbye to an EventSource, which would never come back", async () => {
  const options = { url: "http://127.0.0.1:9", token: "t" };
  const problem = await proxyStream(new Request(STREAM, { headers: { "Roxy-Client": "js/1" } }), options);
  expect([problem.status, problem.headers.get("Content-Type"), problem.headers.get("Retry-After")]).toEqual([503, "application/problem+json", "1"]);
  expect(await problem.json()).toEqual({ status: 503, code: "not-ready", detail: "the hub cannot be reached" });
  const goodbye = await proxyStream(new Request(STREAM), options);
  expect([goodbye.status, goodbye.headers.get("Content-Type")]).toEqual([200, "text/event-stream"]);
  expect(await goodbye.text()).toMatch(/^retry: [1-4]\d{3}\nevent: roxy:bye\ndata: \{"reason":"overload","retry":[1-4]\d{3}\}\n\n$/);
});

test.each<[string, string, RequestInit, number, string]>([
  ["a page of another site", "/v1/events", { method: "POST", headers: { "Sec-Fetch-Site": "cross-site" } }, 403, "forbidden"],
  ["the administrators' part", "/v1/admin/stats", {}, 404, "not-found"],
  ["a way around it", "/v1/events/../admin/stats", {}, 404, "not-found"],
  ["tickets, which are an identity", "/v1/tickets", { method: "POST" }, 404, "not-found"],
  ["a body without an end", "/v1/events", { method: "POST", body: new Uint8Array((8 << 20) + 1) }, 413, "too-large"],
  ["a hub whose address leads elsewhere", "/v1/ping", {}, 503, "not-ready"],
])("%s is refused by the app itself", async (_, path, init, status, code) => {
  const elsewhere = await listening(createServer((_, response) => void response.writeHead(302, { Location: "https://elsewhere.example" }).end()));
  const answer = await proxyCall(new Request(`https://app.example${path}`, init), { url: elsewhere, token: "t" });
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ status, code });
});

test("a stream is asked for by GET", async () => {
  const answer = await proxyStream(new Request(STREAM, { method: "POST" }), { url: "http://127.0.0.1:9", token: "t" });
  expect(await answer.json()).toMatchObject({ status: 405, code: "method-not-allowed" });
});

test("an entity below a topic that is named like a call is that entity", async () => {
  const hub = await startHub();
  const url = await appBefore(hub);
  const topic = "orders/v1/acks";
  const write = { method: "PUT", headers: { "Content-Type": "application/json", "If-None-Match": "*" }, body: '{"table":3}' };
  expect((await fetch(`${url}/v1/entities/${topic}`, write)).status).toBe(201);
  const answer = await fetch(`${url}/v1/entities/${topic}`);
  expect([answer.headers.get("ETag"), await answer.json()]).toMatchObject(['"1"', { topic, data: { table: 3 } }]);
  expect((await fetch(`${url}/v1/entities/${topic}`, { headers: { "If-None-Match": '"1"' } })).status).toBe(304);
});
