import { createServer, request } from "node:http";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { clientOf, live as caughtUp } from "../client.ts";
import { startHub, type Hub } from "../hub.ts";
import { REACTS } from "../react/versions.ts";
import { openPage, serveSite, type Site } from "./chromium.ts";

interface Stage {
  readonly hub: Hub;
  readonly site: Site;
  /** Opens a page that shows screens; who is asked for stands in the token. */
  open(show: string, more?: Record<string, string>, who?: { sub: string; roles: string[] }): Promise<Page>;
  publish(event: { topic: string; type: string; data: unknown; ack?: object }): Promise<void>;
  /** Entities as the hub has them. */
  entity(topic: string): Promise<{ version: number; data: unknown }>;
  mutate(topic: string, data: object): Promise<void>;
}

const ANN = { sub: "ann", roles: ["everything"] };
const HOUSE = { sub: "house", roles: ["everything"] };

async function stage({ yaml = "", alias = {} }: { yaml?: string; alias?: Record<string, string> } = {}): Promise<Stage> {
  const site = await serveSite(join(import.meta.dirname, "react.page.tsx"), alias);
  const hub = await startHub(`    manager: { read: ["**", "roxy/presence"] }\ncors: { origins: ["${site.origin}"] }\n${yaml}`);
  const call = async (path: string, body?: unknown): Promise<unknown> => {
    const answer = await fetch(`${hub.url}${path}`, {
      ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
      headers: { Authorization: `Bearer ${hub.token(HOUSE)}`, "Content-Type": "application/json" },
    });
    expect(answer.status).toBe(200);
    return answer.json();
  };
  return {
    hub,
    site,
    open(show, more = {}, who = ANN) {
      return openPage(`${site.url}#${new URLSearchParams({ hub: hub.url, token: hub.token(who), show, ...more })}`);
    },
    publish: (event) => call("/v1/events", event) as Promise<void>,
    entity: (topic) => call(`/v1/entities/${topic}`) as Promise<{ version: number; data: unknown }>,
    mutate: (topic, data) => call("/v1/mutations", { id: crypto.randomUUID(), op: "put", topic, data, guard: "none" }) as Promise<void>,
  };
}

/** A web server before both, as a house has it: the page and the hub below one origin. */
async function oneOrigin(site: string, hub: string): Promise<string> {
  const server = createServer((asked, answer) => {
    const { method, headers, url = "/" } = asked;
    const onward = request(`${url.startsWith("/v1/") ? hub : site}${url}`, { method, headers }, (answered) => {
      answer.writeHead(answered.statusCode!, answered.headers);
      answered.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** The streams that the hub has, as an operator sees them. */
async function streams(hub: Hub): Promise<{ user: string; patterns: string[] }[]> {
  const answer = await fetch(`${hub.admin}/v1/admin/connections`, { headers: { Authorization: `Bearer ${hub.token(ANN)}` } });
  return ((await answer.json()) as { connections: { user: string; patterns: string[] }[] }).connections;
}

const product = (name: string): { topic: string; type: string; data: unknown } => ({
  topic: `products/${name}`,
  type: "product:availability",
  data: { product: name },
});
const order = (n: number): { topic: string; type: string; data: unknown } => ({ topic: `orders/${n}`, type: "order:new", data: { table: n } });

const live = (page: Page): Promise<void> => page.locator('[data-status="live"]').waitFor();
const heard = <Name extends keyof Window["react"]["heard"]>(page: Page, name: Name): Promise<unknown[]> =>
  page.evaluate((name) => window.react.heard[name], name);
const until = async (page: Page, name: keyof Window["react"]["heard"], count: number): Promise<void> =>
  void (await page.waitForFunction(({ name, count }) => window.react.heard[name].length >= count, { name, count }));

test.each(REACTS)("%s: code that was written for hand-made hooks hears each event once in StrictMode, over one stream, with data alone", async (react, alias) => {
  const { hub, open, publish } = await stage({ alias });
  const page = await open("Products,Last");
  await live(page);
  await publish(product("oysters"));
  await page.locator("#gone", { hasText: "oysters" }).waitFor();
  expect(await page.locator("#last").textContent()).toBe("product:availability oysters");
  expect(await heard(page, "seed")).toEqual(["oysters"]);
  expect((await streams(hub)).map(({ patterns }) => patterns)).toEqual([["products/*"]]);
  expect(`React ${await page.evaluate(() => window.react.version)}`).toMatch(react);
  expect(await page.evaluate(() => window.react.identities.size)).toBe(1);
});

test("without a provider the hooks share one stream from the page's own origin, with its cookie, until the last one is gone", async () => {
  const { hub, site, publish } = await stage();
  const origin = await oneOrigin(site.origin, hub.url);
  const page = await openPage(`${origin}/#${new URLSearchParams({ hub: "", show: "Empty", bare: "" })}`);
  await page.context().addCookies([{ name: "roxy_token", value: hub.token(ANN), url: origin, httpOnly: true }]);
  await page.evaluate(() => window.show(["Products", "Last", "Health"]));
  await page.locator("#health", { hasText: '"state":"live"' }).waitFor();
  await publish(product("oysters"));
  await page.locator("#gone", { hasText: "oysters" }).waitFor();
  expect(await heard(page, "seed")).toEqual(["oysters"]);
  expect((await streams(hub)).map(({ patterns }) => patterns)).toEqual([["**"]]);
  await page.evaluate(() => window.show(["Empty"]));
  await expect.poll(() => streams(hub), { timeout: 20_000 }).toEqual([]);
});

test("without a provider a clientId makes one client of its own, and its connection is the one that is told of", async () => {
  const { hub, site } = await stage();
  const origin = await oneOrigin(site.origin, hub.url);
  const page = await openPage(`${origin}/#${new URLSearchParams({ hub: "", show: "Empty", bare: "" })}`);
  await page.context().addCookies([{ name: "roxy_token", value: hub.token(ANN), url: origin, httpOnly: true }]);
  await page.evaluate(() => window.show(["Device"]));
  await page.locator("#device", { hasText: '{"isConnected":true,"continuity":"ok"}' }).waitFor();
  expect(await streams(hub)).toMatchObject([{ patterns: ["orders/*"] }]);
});

test("who does not read the last event does not render for it", async () => {
  const { open, publish } = await stage();
  const page = await open("Products,Last");
  await live(page);
  const before = await page.evaluate(() => window.react.renders());
  await publish({ topic: "products/x", type: "product:priced", data: { product: "x" } });
  await page.locator("#last", { hasText: "product:priced x" }).waitFor();
  expect(await page.evaluate(() => window.react.renders())).toBe(before);
});

test("a route that changes and comes back within the linger loses nothing, repeats nothing and keeps the stream", async () => {
  const { hub, open, publish } = await stage();
  const page = await open("Products,Last");
  await live(page);
  const [{ id }] = (await streams(hub)) as unknown as [{ id: string }];
  await publish(product("a"));
  await until(page, "seed", 1);
  await page.evaluate(() => window.show(["Last"]));
  await publish(product("b"));
  await page.locator("#last", { hasText: "availability b" }).waitFor();
  await page.evaluate(() => window.show(["Products", "Last"]));
  await until(page, "seed", 2);
  await publish(product("c"));
  await until(page, "seed", 3);
  expect(await heard(page, "seed")).toEqual(["a", "b", "c"]);
  expect(await streams(hub)).toMatchObject([{ id }]);
});

test("a topic is subscribed to while a component asks for it, and a notification comes once although two patterns match", async () => {
  const { hub, open, publish } = await stage();
  const page = await open("Empty");
  await live(page);
  await page.evaluate(() => window.show(["Kitchen"]));
  await page.locator('#kitchen[data-connected="true"]').waitFor({ state: "attached" });
  await publish(order(8));
  await page.locator("#kitchen li").waitFor();
  await publish(order(9));
  await page.locator("#kitchen li >> nth=1").waitFor();
  const [first, second] = (await heard(page, "notified")) as [string, string, unknown][];
  expect([first!.slice(1), second!.slice(1)]).toEqual([
    ["order:new", { table: 8 }],
    ["order:new", { table: 9 }],
  ]);
  expect(await page.locator("#kitchen li").allTextContents()).toEqual(["order:new", "order:new"]);
  // A handler is the last render's: the second one knows of the first.
  expect(await heard(page, "event")).toEqual([
    ["orders/8", { table: 8 }, 0],
    ["orders/9", { table: 9 }, 1],
  ]);
  await page.evaluate(() => window.show(["Empty"]));
  await expect.poll(async () => (await streams(hub)).map(({ patterns }) => patterns), { timeout: 20_000 }).toEqual([["products/*"]]);
});

test.each(REACTS)("%s: a critical event is confirmed by its notification, and reaches each hook once over a kill -9 of the hub", async (_, alias) => {
  const { hub, open, publish } = await stage({ alias });
  const publisher = clientOf(hub, { token: hub.token(HOUSE) });
  const settled: string[] = [];
  publisher.messages((batch) => settled.push(...batch.flatMap((message) => (message.kind === "ack" && message.settled ? [message.settled] : []))));
  publisher.connect();
  await caughtUp(publisher);
  const page = await open("Kitchen", { device: "kitchen" });
  await live(page);
  await publish({ topic: "orders/8", type: "order:call", data: 1, ack: { by: "any", within: "20s" } });
  await expect.poll(() => settled, { timeout: 20_000 }).toEqual(["acknowledged"]);
  await hub.kill();
  await hub.start();
  await publish(order(9));
  await until(page, "notified", 2);
  expect((await heard(page, "notified")).map((one) => (one as unknown[])[1])).toEqual(["order:call", "order:new"]);
});

test.each(REACTS)("%s: an edit is painted at once, and taken back when the hub refuses; the refusal outlives the screen", async (_, alias) => {
  const { open, mutate } = await stage({ alias });
  await mutate("orders/7", { table: 7 });
  const page = await open("OrderCard,Troubles", { entities: "", topics: "orders/*" }, { sub: "bob", roles: ["waiter"] });
  let go = (): void => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.route("**/v1/mutations", async (route) => {
    await held;
    await route.continue();
  });
  await page.locator("#data", { hasText: '{"table":7}' }).waitFor();
  await page.click("#note");
  await page.locator('#order[data-pending="note"]').waitFor();
  expect(await page.locator("#data").textContent()).toBe('{"table":7,"note":"no ice"}');
  await page.evaluate(() => window.show(["Troubles"]));
  go();
  await page.locator("#troubles li", { hasText: "forbidden" }).waitFor();
  expect(await heard(page, "refused")).toEqual(["forbidden"]);
  await page.evaluate(() => window.show(["OrderCard", "Troubles"]));
  await page.locator("#data", { hasText: '{"table":7}' }).waitFor();
  await page.click(".dismiss");
  await page.locator("#troubles li").waitFor({ state: "detached" });
});

test.each([
  ["a conflict", "#note"],
  ["a conflict of an atomic request's second entity", "#both"],
])("%s is told once with its fields, and decided by what the callback returns", async (_, button) => {
  const { open, mutate, entity } = await stage();
  await mutate("orders/7", { table: 7, note: "ice" });
  const page = await open("OrderCard", { entities: "", decide: "mine" });
  await page.locator("#data", { hasText: '"ice"' }).waitFor();
  let go = (): void => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.route("**/v1/mutations", async (route) => {
    await held;
    await route.continue();
  });
  await page.click(button);
  await page.locator('#order[data-pending="note"]').waitFor();
  await mutate("orders/7", { table: 7, note: "much ice" });
  go();
  await until(page, "committed", 1);
  expect(await heard(page, "conflicts")).toEqual([[{ note: "no ice" }, ["note"]]]);
  expect((await entity("orders/7")).data).toEqual({ table: 7, note: "no ice" });
  await page.locator('#order[data-version="3"][data-pending=""]').waitFor();
  if (button === "#both") expect((await entity("tables/7")).data).toEqual({ seats: 4 });
});

test("a conflict that nobody decided at once is held, seen on the entity, and decided by resolve", async () => {
  const { open, mutate, entity } = await stage();
  await mutate("orders/7", { table: 7, note: "ice" });
  const page = await open("OrderCard,Troubles", { entities: "" });
  await page.locator("#data", { hasText: '"ice"' }).waitFor();
  let go = (): void => {};
  const held = new Promise<void>((resolve) => (go = resolve));
  await page.route("**/v1/mutations", async (route) => {
    await held;
    await route.continue();
  });
  await page.click("#note");
  await mutate("orders/7", { table: 7, note: "much ice" });
  go();
  await page.locator('#order[data-conflict="version-conflict"]').waitFor();
  await page.locator('#troubles li[data-state="held"] .mine').click();
  await until(page, "committed", 1);
  expect((await entity("orders/7")).data).toEqual({ table: 7, note: "no ice" });
});

test("two pages that edit one entity come to show the same, which is what the hub has", async () => {
  const { open, mutate, entity } = await stage();
  await mutate("orders/7", { table: 7 });
  const [one, two] = [await open("OrderCard", { entities: "" }), await open("OrderCard", { entities: "" })];
  for (const page of [one, two]) await page.locator("#data", { hasText: '{"table":7}' }).waitFor();
  await Promise.all([one.click("#note"), two.click("#guests")]);
  const whole = { table: 7, note: "no ice", guests: 4 };
  for (const page of [one, two]) {
    await page.locator('#order[data-version="3"][data-pending=""][data-orders="1"]').waitFor();
    expect(JSON.parse((await page.locator("#data").textContent())!)).toEqual(whole);
  }
  expect(await entity("orders/7")).toMatchObject({ version: 3, data: whole });
});

test("a reload amid a mutation shows it still, and commits it", async () => {
  const { open, mutate, entity } = await stage();
  await mutate("orders/7", { table: 7 });
  const page = await open("OrderCard,Health", { entities: "" });
  await page.locator("#data", { hasText: '{"table":7}' }).waitFor();
  await page.route("**/v1/mutations", (route) => route.abort());
  await page.click("#note");
  await page.locator("#health", { hasText: '"waiting":1' }).waitFor();
  await page.waitForRequest("**/v1/mutations"); // stored, then sent
  await page.reload();
  await page.locator('#order[data-pending="note"]', { hasText: "no ice" }).waitFor();
  await page.unroute("**/v1/mutations");
  await page.locator('#order[data-version="2"][data-pending=""]').waitFor();
  expect((await entity("orders/7")).data).toEqual({ table: 7, note: "no ice" });
  await page.locator("#health", { hasText: '"sync":"synced","waiting":0' }).waitFor();
});

test("the indicator tells in words when the hub is away, and when it is back", async () => {
  const { hub, open } = await stage();
  const page = await open("Health");
  await page.getByRole("status").filter({ hasText: /^Live$/ }).waitFor();
  await hub.kill();
  await page.getByRole("status").filter({ hasText: "Reconnecting…" }).waitFor();
  expect(JSON.parse((await page.locator("#health").textContent())!)).toMatchObject({ state: "recovering", lost: true, continuity: "catching-up" });
  await hub.start();
  await page.evaluate(() => dispatchEvent(new Event("online"))); // cuts the wait for the next attempt short
  await page.locator("#health", { hasText: '"state":"live","lost":false,"continuity":"ok"' }).waitFor();
  await page.getByRole("status").filter({ hasText: /^(Live|Weak connection)$/ }).waitFor(); // whose level climbs in its time
});

test("who is there is told as people come and go", async () => {
  const { open } = await stage({ yaml: "presence: { grace: 1s }" });
  const page = await open("House", {}, { sub: "ann", roles: ["manager"] });
  await page.locator("#present", { hasText: /^ann$/ }).waitFor();
  const other = await open("Empty", {}, { sub: "bob", roles: ["everything"] });
  await page.locator("#present", { hasText: "ann,bob" }).waitFor();
  await other.close();
  await page.locator("#present", { hasText: /^ann$/ }).waitFor();
});
