// The app's own files, kept by its service worker: a tablet that is reloaded without a network is a tablet to work with.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import type { AuditRow } from "../src/backend.ts";
import { openBar } from "./bar.ts";
import { fill } from "./busy.ts";
import { goTo, live, openScreen, settled, signedIn, TABLET } from "./screens.ts";

/** Waits until the browser has kept the app. */
const kept = (page: Page): Promise<string> => page.evaluate(async () => (await navigator.serviceWorker.ready).active!.state);

/** What is kept: each cache, and the paths in it. */
const caches_ = (page: Page): Promise<Record<string, string[]>> =>
  page.evaluate(async () => {
    const found: Record<string, string[]> = {};
    for (const name of await caches.keys()) found[name] = (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname).sort();
    return found;
  });

test("a tablet that is reloaded without a network shows what it knew, takes an order, and the kitchen gets it once", async () => {
  const bar = await openBar();
  await fill(bar);
  const kitchen = await signedIn(bar, "Luca", "Kitchen", TABLET);
  const page = await signedIn(bar, "Mia", "Waiter", TABLET);
  await goTo(page, "1");
  await page.locator(".line", { hasText: "Burger" }).waitFor();
  await kept(page);
  const here = await page.evaluate(() => localStorage.length > 0 && sessionStorage.getItem("bar:access"));
  expect(here).not.toBe(null);

  // Bad Wi-Fi: whoever asks waits.
  bar.hang();
  await page.reload({ waitUntil: "commit" });
  const burger = page.locator(".line", { hasText: "Burger" });
  await burger.getByText("Last known").waitFor();
  await page.getByText(/No connection\. This is the house as of \d\d:\d\d\./).waitFor();

  await goTo(page, "7");
  await page.getByRole("button", { name: "2 guests", exact: true }).click();
  await page.locator(".dish", { hasText: "Diavola" }).click();
  await page.getByRole("button", { name: "Send 1" }).click();
  await page.locator(".line", { hasText: "Diavola" }).getByText("Waits for the network").waitFor();

  // No network at all.
  await bar.cut();
  await page.reload();
  const line = page.locator(".line", { hasText: "Diavola" });
  await line.getByText("Waits for the network").waitFor();
  await page.getByText(/No connection\. This is the house as of/).waitFor();
  expect(await page.locator(".who-user").textContent()).toBe("Mia");
  if (process.env["SHOT"]) await page.screenshot({ path: process.env["SHOT"] });

  await bar.mend();
  await live(page);
  await settled(page);
  await live(kitchen);
  const ticket = kitchen.locator('.ticket[data-table="7"]');
  await ticket.waitFor();
  expect(await ticket.count()).toBe(1);
  const cook = await bar.signIn("kitchen", "kitchen");
  expect((await bar.entities(cook, "lines/*")).filter(({ data }) => data.table === 7).map(({ data }) => [data.product, data.quantity, data.status])).toEqual([["diavola", 1, "new"]]);
});
