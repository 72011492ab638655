import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { openProfile, serveSite } from "../browser/chromium.ts";
import { startHub } from "../hub.ts";

async function openTabs(): Promise<{ open: (offline?: boolean) => Promise<Page>; get: (topic: string) => Promise<unknown>; put: (topic: string, data: object) => Promise<void> }> {
  const site = await serveSite(join(import.meta.dirname, "entities.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const token = hub.token({ sub: "a", roles: ["everything"] });
  const open = await openProfile();
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  return {
    open: (offline) => open(`${site.url}#${new URLSearchParams({ hub: hub.url, token, ...(offline && { offline: "" }) })}`),
    async get(topic) {
      const answer = await fetch(`${hub.url}/v1/entities/${topic}`, { headers });
      return answer.ok ? ((await answer.json()) as { data: unknown }).data : undefined;
    },
    put: async (topic, data) => void (await fetch(`${hub.url}/v1/entities/${topic}`, { method: "PUT", headers, body: JSON.stringify(data) })),
  };
}
const shows = async (page: Page, topic: string, data: unknown): Promise<void> =>
  void (await page.waitForFunction(([at, text]) => JSON.stringify(window.orders.entities.entity(at).get().data) === text, [topic, JSON.stringify(data)] as const));

test("what a follower asks for is sent by the tab that leads, and the follower hears what became of it", async () => {
  const { open, get } = await openTabs();
  const [leader, follower] = [await open(), await open()];
  await follower.waitForFunction(() => window.orders.client.continuity.get() === "ok");
  const settled = await follower.evaluate(() => {
    window.orders.network.there = false; // all that it can do is to tell the other
    return window.orders.entities.put("orders/1", { by: "follower" }).settled;
  });
  expect(settled).toMatchObject({ status: "committed", version: 1 });
  expect(await get("orders/1")).toEqual({ by: "follower" });
  await shows(leader, "orders/1", { by: "follower" });
});

test("a tab that is closed leaves what it asked for to the others, who had shown it already", async () => {
  const { open, get } = await openTabs();
  const [first, second] = [await open(true), await open(true)];
  expect(await first.evaluate(() => window.orders.entities.put("orders/1", { by: "first" }).accepted)).toBe(true);
  expect(await second.evaluate(() => window.orders.entities.put("orders/2", { by: "second" }).accepted)).toBe(true);
  await shows(second, "orders/1", { by: "first" });
  await shows(first, "orders/2", { by: "second" });
  await first.close();
  await second.evaluate(() => void (window.orders.network.there = true));
  await second.waitForFunction(() => window.orders.client.sync.get() === "synced");
  expect([await get("orders/1"), await get("orders/2")]).toEqual([{ by: "first" }, { by: "second" }]);
});

test("after a reload in the middle of a mutation, without a network, the page shows what it showed before", async () => {
  const { open, get, put } = await openTabs();
  await put("orders/1", { status: "open", table: 4 });
  const page = await open();
  await shows(page, "orders/1", { status: "open", table: 4 });
  await page.evaluate(async () => {
    window.orders.network.there = false;
    await window.orders.entities.patch("orders/1", { status: "ready" }).accepted;
  });
  await page.evaluate(() => window.orders.entities.close()); // as the page's end does: what is gathered is written
  await page.goto(page.url().replace("#", "?again#") + "&offline=");
  await shows(page, "orders/1", { status: "ready", table: 4 });
  expect(await page.evaluate(() => window.orders.entities.entity("orders/1").get())).toMatchObject({ fromCache: true, pending: ["status"], version: 1 });
  await page.evaluate(() => void (window.orders.network.there = true));
  await page.waitForFunction(() => window.orders.entities.entity("orders/1").get().version === 2);
  expect(await page.evaluate(() => window.orders.entities.entity("orders/1").get())).not.toHaveProperty("fromCache");
  expect(await get("orders/1")).toEqual({ status: "ready", table: 4 });
});
