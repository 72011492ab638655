// The app's own files, kept by its service worker: a tablet that is reloaded without a network is a tablet to work with.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Page } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import type { AuditRow } from "../src/backend.ts";
import { openBar } from "./bar.ts";
import { fill } from "./busy.ts";
import { goTo, live, openScreen, settled, signedIn, TABLET } from "./screens.ts";

/** Waits until the browser has kept the app. */
const isKept = (page: Page): Promise<unknown> => page.evaluate(async () => void (await navigator.serviceWorker.ready));

/** The names of the builds that are kept. */
const builds = (page: Page): Promise<string[]> => page.evaluate(() => caches.keys());

/** The paths that are kept of a build. */
const keptFiles = (page: Page, build: string): Promise<string[]> =>
  page.evaluate(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname).sort(), build);

/** The paths of a folder that holds a build, as the worker is to keep them. */
const filesOf = (folder: string): string[] =>
  ["/", "/icon.svg", ...readdirSync(join(folder, "assets")).filter((name) => !name.endsWith(".map")).map((name) => `/assets/${name}`)].sort();

test("a tablet that is reloaded without a network shows what it knew, takes an order, and the kitchen gets it once", async () => {
  const bar = await openBar({ lifetime: "10s" }); // so short that each page asks for a token of its own
  await fill(bar);
  const [kitchen, page] = await Promise.all([signedIn(bar, "Luca", "Kitchen", TABLET), signedIn(bar, "Mia", "Waiter", TABLET)]);
  const answered = { byWorker: new Set<string>(), byNetwork: new Set<string>() };
  page.on("response", (response) => {
    const { origin, pathname } = new URL(response.url());
    (response.fromServiceWorker() ? answered.byWorker : answered.byNetwork).add(origin === bar.url ? pathname : `hub ${pathname}`);
  });
  const line = (name: string) => page.locator(".line", { hasText: name });
  await goTo(page, "1");
  await line("Burger").waitFor();
  await isKept(page);

  bar.hang();
  await page.reload({ waitUntil: "commit" });
  await page.getByText(/No connection\. This is the house as of \d\d:\d\d\./).waitFor();
  await line("Burger").getByText("Last known").waitFor();
  expect(await page.locator(".who-user").textContent()).toBe("Mia");

  await goTo(page, "7");
  await page.getByRole("button", { name: "2 guests", exact: true }).click();
  await page.locator(".dish", { hasText: "Diavola" }).click();
  await page.getByRole("button", { name: "Send 1" }).click();
  await line("Diavola").getByText("Waits for the network").waitFor();
  await page.getByText(/\d changes wait on this device/).waitFor();

  await bar.cut();
  await page.reload();
  await line("Diavola").getByText("Waits for the network").waitFor();
  await page.getByText(/\d changes wait on this device/).waitFor();

  await bar.mend();
  for (const screen of [page, kitchen]) await screen.evaluate(() => dispatchEvent(new Event("online"))); // as a device does whose Wi-Fi is back
  await Promise.all([live(page), live(kitchen)]);
  await settled(page);
  await kitchen.getByRole("button", { name: "Confirm table 7" }).click();
  await line("Diavola").getByText("Confirmed").waitFor();
  expect(await kitchen.locator('.ticket[data-table="7"]').count()).toBe(1);
  const lines = await bar.entities(await bar.signIn("kitchen", "kitchen"), "lines/*");
  expect(lines.filter(({ data }) => data.table === 7).map(({ data }) => [data.product, data.quantity, data.acceptedBy])).toEqual([["diavola", 1, "kitchen"]]);
  const { session } = await bar.signIn("manager", "manager");
  const audit = (await (await fetch(`${bar.url}/api/audit`, { headers: { "Bar-Session": session } })).json()) as { rows: AuditRow[] };
  expect(audit.rows.filter(({ kind, type }) => kind === "publish" && type === "order:new")).toHaveLength(1);

  const own = filesOf(resolve(import.meta.dirname, "../dist"));
  expect([...answered.byWorker].filter((path) => !own.includes(path))).toEqual([]);
  expect([...answered.byWorker]).toEqual(expect.arrayContaining(["/"]));
  expect([...answered.byNetwork]).toEqual(expect.arrayContaining(["/api/tokens", "hub /v1/stream", "hub /v1/mutations", "hub /v1/acks"]));
});

test("a new build is there with the next load, also without a network, and nothing of the old one stays", async () => {
  const web = mkdtempSync(join(tmpdir(), "roxy-bar-web-"));
  onTestFinished(() => rmSync(web, { recursive: true, force: true }));
  cpSync(resolve(import.meta.dirname, "../dist"), web, { recursive: true });
  const bar = await openBar({ web });
  const page = await openScreen(bar, TABLET);
  await isKept(page);
  const [before = ""] = await builds(page);
  expect(await keptFiles(page, before)).toEqual(filesOf(web));

  const old = filesOf(web);
  execFileSync("node", ["build.js", web], { cwd: resolve(import.meta.dirname, ".."), env: { ...process.env, NODE_ENV: "development" } });
  expect(filesOf(web)).not.toEqual(old);
  const script = (): Promise<string> => page.evaluate(() => new URL(document.scripts[0]!.src).pathname);
  await page.reload();
  expect(filesOf(web)).toContain(await script());
  await expect.poll(() => builds(page), { timeout: 20_000 }).not.toContain(before);
  const after = await builds(page);
  expect(after).toHaveLength(1);
  expect(await keptFiles(page, after[0]!)).toEqual(filesOf(web));

  await bar.cut();
  await page.reload();
  expect(filesOf(web)).toContain(await script());
  await page.getByRole("alert").getByText("There is no network").waitFor();
  await bar.mend();
  await page.getByRole("button", { name: "Mia Waiter" }).waitFor();
});
