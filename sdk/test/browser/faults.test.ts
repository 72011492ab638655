import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { expectSpaced } from "../attempts.ts";
import { ALL } from "../client.ts";
import { type Hub, startHub } from "../hub.ts";
import { type Fault, type Proxy, startProxy } from "../proxy.ts";
import { openProfile, serveSite, type Site } from "./chromium.ts";

type Over = (typeof ALL)[number];

/** What a transport asks for first: the stream, or a ticket for it. */
const FIRST = { sse: "GET /v1/stream", eventsource: "POST /v1/tickets", ws: "POST /v1/tickets" } as const;
const STREAM = { sse: "GET /v1/stream", eventsource: "GET /v1/stream", ws: "GET /v1/ws" } as const;

/** How a page is opened. */
interface How {
  readonly heartbeat?: string;
  /** How long its token lives, and the one that it gets when that is refused or about to expire, in seconds. */
  readonly tokens?: readonly [now: number, fresh: number];
}

/** A hub, a network before it, and pages that follow its orders, one for each transport. */
interface House {
  readonly hub: Hub;
  readonly proxy: Proxy;
  readonly site: Site;
  open(over: Over, how?: How): Promise<Page>;
  /** A token of the page's user. */
  token(over: Over, seconds: number): string;
  publish(data: unknown): Promise<void>;
  get<T>(path: string): Promise<T>;
}

async function openHouse(): Promise<House> {
  const site = await serveSite(join(import.meta.dirname, "faults.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const proxy = await startProxy(hub);
  const headers = { Authorization: `Bearer ${hub.token({ sub: "till", roles: ["everything"] })}`, "Content-Type": "application/json" };
  const house: House = {
    hub,
    proxy,
    site,
    token: (over, expires) => hub.token({ sub: over, roles: ["everything"], expires }),
    async open(over, { heartbeat = "1s", tokens: [now, fresh] = [3600, 3600] } = {}) {
      const page = await (await openProfile())("about:blank");
      const tokens = { now: house.token(over, now), fresh: house.token(over, fresh) };
      await page.addInitScript((all) => Object.assign(window, { tokens: all }), tokens);
      await page.goto(`${site.url}#${new URLSearchParams({ hub: proxy.url(over), over, heartbeat })}`);
      await isLive(page);
      return page;
    },
    async publish(data) {
      const answer = await fetch(`${hub.url}/v1/events`, { method: "POST", headers, body: JSON.stringify({ topic: "orders/7", type: "order:new", data }) });
      expect(answer.status).toBe(200);
    },
    get: async <T>(path: string) => (await (await fetch(`${hub.url}${path}`, { headers })).json()) as T,
  };
  return house;
}

const isLive = (page: Page): Promise<unknown> => page.waitForFunction(() => window.fault?.client.continuity.get() === "ok");
/** The page has handled this and nothing else, each once and in order. */
async function hasHandled(page: Page, ...all: unknown[]): Promise<void> {
  await page.waitForFunction((n) => window.fault.handled.length >= n, all.length);
  await isLive(page);
  expect(await page.evaluate(() => window.fault.handled)).toEqual(all);
}
const transportOf = (page: Page): Promise<string | undefined> => page.evaluate(() => window.fault.client.inspect().transport);

/** Plays the same on a page of each transport at once, and holds the law of attempts at the end. */
async function onEach(house: House, overs: readonly Over[], play: (page: Page, over: Over) => Promise<void>, how?: How): Promise<void> {
  await Promise.all(overs.map(async (over) => play(await house.open(over, how), over)));
  expectSpaced(await house.proxy.log());
}

test("a hub that is killed costs no page an event, over any transport", async () => {
  const house = await openHouse();
  const pages = await Promise.all(ALL.map((over) => house.open(over)));
  await house.publish(1);
  await Promise.all(pages.map((page) => hasHandled(page, 1)));
  await house.hub.kill();
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.fault.client.state.get() === "recovering")));
  await house.hub.start();
  await house.publish(2);
  await Promise.all(pages.map((page) => hasHandled(page, 1, 2)));
  await house.publish(3);
  await Promise.all(pages.map((page) => hasHandled(page, 1, 2, 3)));
  expectSpaced(await house.proxy.log());
});

test("a cable that is half-open is left when nothing came for two heartbeats, and nothing is missed", async () => {
  const house = await openHouse();
  const pages = await Promise.all(ALL.map((over) => house.open(over)));
  await house.publish(1);
  await Promise.all(pages.map((page) => hasHandled(page, 1)));
  for (const over of ALL) expect(await house.proxy.freeze({ client: `${over}.1`, match: STREAM[over] })).toBe(1);
  await house.publish(2);
  await Promise.all(pages.map((page) => hasHandled(page, 1, 2)));
  expectSpaced(await house.proxy.log());
});

test("where something holds streams back, header and all, a page goes on over a WebSocket, and comes back half an hour later", async () => {
  const house = await openHouse();
  await onEach(house, ["sse", "eventsource"], async (page, over) => {
    await house.proxy.faults({ client: `${over}.1`, match: STREAM[over], buffer: -1 });
    await house.proxy.cut({ client: `${over}.1`, match: STREAM[over], end: "rst" });
    await page.waitForFunction(() => window.fault.client.inspect().transport === "ws");
    await isLive(page);
    await house.publish(over);
    await page.waitForFunction((mine) => window.fault.handled.includes(mine), over);
    expect(await transportOf(page)).toBe("ws");
    await house.proxy.mend();
    await page.evaluate(() => window.fault.skip(31 * 60_000));
    await page.waitForFunction((mine) => window.fault.client.inspect().transport === mine, over);
    await isLive(page);
    await page.waitForFunction(() => window.fault.handled.length >= 2);
    expect((await page.evaluate(() => window.fault.handled)).toSorted()).toEqual(["eventsource", "sse"]); // of both pages, each once
  });
}, 60_000);

test("a stream outlives its token, which is renewed before it expires", async () => {
  const house = await openHouse();
  await onEach(
    house,
    ALL,
    async (page) => {
      const { connection } = await page.evaluate(() => window.fault.client.inspect());
      const { now } = await page.evaluate(() => window.tokens);
      const { exp } = JSON.parse(atob(now.split(".")[1]!)) as { exp: number };
      await page.waitForFunction((first) => window.tokens.now !== first, now);
      await page.waitForFunction((at) => Date.now() > at, exp * 1000 + 500); // it has run out
      expect(await page.evaluate(() => window.fault.client.inspect())).toMatchObject({ state: "live", connection });
    },
    { tokens: [10, 3600] },
  );
});

test("where there is no other token a page waits for one, and then goes on where it was", async () => {
  const house = await openHouse();
  await onEach(
    house,
    ALL,
    async (page, over) => {
      await page.waitForFunction(() => window.fault.client.state.get() === "needs-auth");
      await house.publish(over);
      await page.evaluate((token) => {
        window.tokens.now = window.tokens.fresh = token;
        window.fault.client.connect();
      }, house.token(over, 3600));
      await page.waitForFunction((mine) => window.fault.handled.includes(mine), over);
      await isLive(page);
    },
    { tokens: [10, -60] },
  );
});

test("what proxies answer in the hub's place is taken for what it is, and no page comes back sooner than it was asked to", async () => {
  const house = await openHouse();
  const header = { "Access-Control-Allow-Origin": house.site.origin, "Access-Control-Expose-Headers": "Retry-After", "Retry-After": "2" };
  await onEach(house, ALL, async (page, over) => {
    const client = `${over}.1`;
    const match = FIRST[over];
    const script: Fault[] = [401, 429, 503].map((status) => ({ client, match, times: 1, answer: { status, header } }));
    await house.proxy.faults(...script);
    await house.proxy.cut({ client, match: STREAM[over], end: "fin" });
    await page.waitForFunction(() => window.fault.client.state.get() !== "live");
    await house.publish(over);
    await page.waitForFunction((mine) => window.fault.handled.includes(mine), over);
    const asked = (await house.proxy.log()).filter((a) => a.client === client && `${a.method} ${a.path}` === match);
    expect(asked.map(({ status }) => status)).toEqual([200, 401, 429, 503, 200]);
    const begun = asked.map((a) => Number(a.begun));
    for (const i of [3, 4]) expect(begun[i]! - begun[i - 1]!).toBeGreaterThanOrEqual(2_000); // Retry-After
  });
});

test("a page that is reloaded while a mutation is on its way has it committed once, whether the hub got it or not", async () => {
  const house = await openHouse();
  await onEach(house, ALL, async (page, over) => {
    const client = `${over}.1`;
    await house.proxy.faults({ client, match: "POST /v1/mutations", times: 1, end: "freeze", after: 0 }, { client, match: "POST /v1/mutations", times: 1, lost: "rst" });
    await page.evaluate(async (mine) => {
      const [got, lost] = [`orders/${mine}-1`, `orders/${mine}-2`];
      await window.fault.entities.put(got, { n: 1 }).accepted;
      await window.fault.entities.put(lost, { n: 2 }).accepted;
    }, over);
    await expect.poll(async () => (await house.proxy.log()).filter((a) => a.client === client && a.harm !== undefined).length, { timeout: 20_000 }).toBe(2);
    await page.reload();
    await isLive(page);
    await page.waitForFunction(() => window.fault.entities.waiting.get() === 0);
    for (const [i, n] of [1, 2].entries()) {
      const entity = await house.get<{ version: number; data: unknown }>(`/v1/entities/orders/${over}-${i + 1}`);
      expect(entity).toMatchObject({ version: 1, data: { n } }); // one commit
      const topic = `orders/${over}-${i + 1}`;
      await page.waitForFunction((at) => window.fault.entities.entity(at).get().version === 1, topic as "orders/x");
    }
  });
});

test("a page that was hidden while its stream died is back as soon as it is seen, without a watchdog", async () => {
  const house = await openHouse();
  await onEach(
    house,
    ALL,
    async (page, over) => {
      await house.proxy.freeze({ client: `${over}.1`, match: STREAM[over] });
      await house.publish(over);
      await page.evaluate(() => {
        window.fault.skip(20_000); // longer than a heartbeat, and less than the watchdog bears
        dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })); // as from the cache of pages, on iOS
      });
      await page.waitForFunction((mine) => window.fault.handled.includes(mine), over);
      const notes = await page.evaluate(() => window.fault.client.inspect().notes.map(({ kind, detail }) => `${kind} ${detail}`));
      expect(notes).toContain("renew wake");
      expect(notes).not.toContain("silent undefined");
    },
    { heartbeat: "15s" },
  );
});
