import { join } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { ALL } from "../client.ts";
import { type Hub, startHub } from "../hub.ts";
import { openProfile, serveSite, startChromium } from "./chromium.ts";

type Over = (typeof ALL)[number] | "tabs";
type Open = (url: string) => Promise<Page>;

beforeAll(async () => void (await startChromium({ keepsPages: true })));

/** A hub, and pages that follow its orders. */
interface House {
  readonly hub: Hub;
  open(over: Over, profile?: Open): Promise<Page>;
  publish(data: unknown, type?: string, times?: number): Promise<void>;
}

async function openHouse(): Promise<House> {
  const site = await serveSite(join(import.meta.dirname, "cached.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const headers = { Authorization: `Bearer ${hub.token({ sub: "till", roles: ["everything"] })}`, "Content-Type": "application/json" };
  return {
    hub,
    async open(over, profile) {
      const token = hub.token({ sub: over, roles: ["everything"] });
      const page = await (profile ?? (await openProfile()))(`${site.url}#${new URLSearchParams({ hub: hub.url, over, token })}`);
      await isLive(page);
      return page;
    },
    async publish(data, type = "order:new", times = 1) {
      const answer = await fetch(`${hub.url}/v1/events`, { method: "POST", headers, body: JSON.stringify(Array(times).fill({ topic: "orders/7", type, data })) });
      expect(answer.status).toBe(200);
    },
  };
}

const isLive = (page: Page): Promise<unknown> => page.waitForFunction(() => window.cached?.client.continuity.get() === "ok");
const leave = (page: Page, hub: Hub): Promise<unknown> => page.goto(`${hub.admin}/readyz`);
/** Goes back, and returns for each time that the document was shown whether it came from the cache. */
async function comeBack(page: Page): Promise<boolean[]> {
  await page.evaluate(() => history.back()).catch(() => {}); // the page that would answer may be gone already
  await isLive(page);
  return page.evaluate(() => window.cached.shown);
}
/** The page has handled this and nothing else, each once and in order, and hears what is published now. */
async function hasHandled(page: Page, ...all: unknown[]): Promise<void> {
  await page.waitForFunction((last) => window.cached.handled.includes(last), all.at(-1));
  expect(await page.evaluate(() => window.cached.handled)).toEqual(all);
}

test("a page that comes back from the browser's cache of pages missed nothing, hears nothing twice and is live, however much came meanwhile, over any transport", async () => {
  const { hub, open, publish } = await openHouse();
  const pages = await Promise.all(([...ALL, "tabs"] as const).map((over) => open(over)));
  const each = <T>(what: (page: Page) => Promise<T>): Promise<T[]> => Promise.all(pages.map(what));
  await publish(1);
  await each((page) => hasHandled(page, 1));

  await each((page) => leave(page, hub));
  await publish(2);
  // More than Chromium lets come for a page that it keeps, were there somebody to hear it.
  for (let kilobytes = 0; kilobytes < 3_300; kilobytes += 60 * 11) await publish("x".repeat(60_000), "order:big", 11);
  await publish(3);
  expect(await each(comeBack)).toEqual(pages.map(() => [false, true]));
  await each((page) => hasHandled(page, 1, 2, 3));
  await publish(4);
  await each((page) => hasHandled(page, 1, 2, 3, 4));
  for (const { status } of await each((page) => page.evaluate(() => window.cached.entities.put("orders/8", {}).settled))) expect(status).toBe("committed");
});

test("a tab that led and was left lets another lead, and comes back from the cache as one that is carried", async () => {
  const { hub, open, publish } = await openHouse();
  const profile = await openProfile();
  const first = await open("tabs", profile);
  await first.waitForFunction(() => window.cached.leads());
  const second = await open("tabs", profile);
  await publish(1);
  for (const page of [first, second]) await hasHandled(page, 1);
  await leave(first, hub);
  await second.waitForFunction(() => window.cached.leads());
  await publish(2);
  await hasHandled(second, 1, 2);
  expect(await comeBack(first)).toEqual([false, true]);
  await publish(3);
  for (const page of [first, second]) await hasHandled(page, 1, 2, 3);
  expect(await first.evaluate(() => window.cached.leads())).toBe(false);
  expect(await second.evaluate(() => window.cached.leads())).toBe(true);
});
