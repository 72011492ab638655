import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { startHub } from "../hub.ts";
import { REACTS } from "../react/versions.ts";
import { openPage, serveSite } from "./chromium.ts";

interface Stage {
  open(asked: Record<string, string>): Promise<Page>;
  /** Publishes a number, and returns its cursor. */
  publish(n: number): Promise<string>;
}

async function stage(alias: Record<string, string> = {}): Promise<Stage> {
  const site = await serveSite(join(import.meta.dirname, "rendered.page.tsx"), alias);
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const token = hub.token({ sub: "ann", roles: ["everything"] });
  return {
    open: (asked) => openPage(`${site.url}#${new URLSearchParams({ hub: hub.url, token, ...asked })}`),
    async publish(n) {
      const answer = await fetch(`${hub.url}/v1/events`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify({ topic: "orders/7", type: "order:new", data: n }),
      });
      return ((await answer.json()) as { events: { cursor: string }[] }).events[0]!.cursor;
    },
  };
}

const shows = (page: Page, what: object): Promise<void> => page.locator("#orders", { hasText: JSON.stringify(what) }).waitFor();

test("a page that was rendered on a server hears what was published since, and nothing that it holds", async () => {
  const { open, publish } = await stage();
  const cursor = await publish(1);
  await publish(2);
  const page = await open({ cursor });
  await shows(page, { data: "rendered", told: [2], continuity: "ok" });
  await publish(3);
  await shows(page, { data: "rendered", told: [2, 3], continuity: "ok" });
});

test.each(REACTS)("%s: a page hydrates without a complaint although its client is live before it", async (_, alias) => {
  const { open, publish } = await stage(alias);
  const cursor = await publish(1);
  const page = await open({ cursor, early: "" });
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  expect(await page.evaluate(() => window.complaints)).toEqual([]);
});

test("what was missed and cannot be replayed is loaded anew", async () => {
  const { open, publish } = await stage();
  const fresh = await publish(1);
  const page = await open({ cursor: "another.5", fresh });
  await shows(page, { data: "loaded", told: [], continuity: "ok" });
  await publish(2);
  await shows(page, { data: "loaded", told: [2], continuity: "ok" });
});

test("a part that was rendered before the stream's position is loaded anew, or says that something may be missing", async () => {
  const { open, publish } = await stage();
  const cursor = await publish(1);
  const fresh = await publish(2);
  const page = await open({ cursor, later: "", fresh });
  await page.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await page.click("button");
  await shows(page, { data: "loaded", told: [], continuity: "ok" });
  const other = await open({ cursor, later: "" });
  await other.getByRole("status").filter({ hasText: "Live" }).waitFor();
  await other.click("button");
  await shows(other, { data: "rendered", told: [], continuity: "reset" });
});
