// examples/next, built and started, in Chromium.
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Locator, Page } from "playwright-core";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { createPublisher, type Publisher } from "../../src/server.ts";
import { until } from "../client.ts";
import { startHub, type Hub } from "../hub.ts";
import { openPage, startChromium } from "./chromium.ts";

const APP = join(import.meta.dirname, "../../../examples/next");
const NEXT = join(APP, "node_modules/next/dist/bin/next");
const environment = { ...process.env, NODE_ENV: "production" as const, NEXT_TELEMETRY_DISABLED: "1" };

// A build, a server and browsers: on a machine with other work they take their time.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

beforeAll(async () => {
  if (!existsSync(NEXT)) throw new Error("examples/next is not installed: run test/install.sh");
  await promisify(execFile)(process.execPath, [NEXT, "build"], { cwd: APP, env: environment });
});

interface App {
  readonly hub: Hub;
  readonly token: string;
  /** Writes to the hub itself, as another program does. */
  readonly writer: Publisher;
  readonly url: string;
  /** What the app has said of itself. */
  log(): string;
}

/** Starts a hub, and the app before it. */
async function startApp(): Promise<App> {
  const hub = await startHub(`    host: { read: ["roxy/presence"] }\nschemas: ${join(APP, "schemas")}`);
  const token = hub.token({ sub: "app", roles: ["everything", "host"] });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = spawn(process.execPath, [NEXT, "start", "--hostname", "127.0.0.1", "--port", String(port)], {
    cwd: APP,
    env: { ...environment, ROXY_URL: hub.url, ROXY_TOKEN: token },
  });
  let log = "";
  for (const output of [program.stdout, program.stderr]) output.on("data", (text) => (log += text));
  onTestFinished(async () => {
    const gone = new Promise((resolve) => program.once("exit", resolve));
    program.kill("SIGKILL");
    await gone;
  });
  while (!(await fetch(`${url}/api/roxy/v1/ping`).catch(() => undefined))?.ok) {
    if (program.exitCode !== null) throw new Error(`the app ended before it was ready:\n${log}`);
    await new Promise((soon) => setTimeout(soon, 20));
  }
  return { hub, token, url, writer: createPublisher({ url: hub.url, token }), log: () => log };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Opens the app, whose waits no other clock than the test's ends. */
async function open(url: string): Promise<Page> {
  const page = await openPage(url);
  page.setDefaultTimeout(0);
  return page;
}

const ordersOn = (page: Page): Locator => page.getByRole("list", { name: "Orders" }).getByRole("listitem");
const live = (page: Page): Promise<unknown> => page.locator("[role=status]:is([data-status=live], [data-status=weak])").waitFor();
/** Waits until the page's stream has ended. */
const cut = (page: Page): Promise<unknown> => page.waitForEvent("requestfinished", (request) => request.url().includes("/v1/stream"));
/** Waits until the page shows so many orders with that text, and no more. */
async function shows(page: Page, text: string, count = 1): Promise<void> {
  await ordersOn(page).filter({ hasText: text }).nth(count - 1).waitFor();
  expect(await ordersOn(page).filter({ hasText: text }).count()).toBe(count);
}

test("two browsers show what the server rendered and what either of them does, and the hub forgets them when they go", async () => {
  const { url, token, writer } = await startApp();
  await writer.mutate({ op: "put", topic: "orders/1", data: { table: 3, drink: "Negroni", status: "open" } });
  const html = (await (await fetch(url)).text()).replaceAll("<!-- -->", "");
  expect(html).toContain("Table 3: Negroni, open");
  expect(html).not.toContain(token);

  const [one, two] = [await open(url), await open(url)];
  await Promise.all([live(one), live(two)]);
  await one.getByLabel("Table").fill("7");
  await one.getByLabel("Drink").fill("Spritz");
  await one.getByRole("button", { name: "Order" }).click();
  for (const page of [one, two]) await shows(page, "Table 7: Spritz, open");
  await ordersOn(two).filter({ hasText: "Negroni" }).getByRole("button", { name: "Ready" }).click();
  for (const page of [one, two]) await shows(page, "Table 3: Negroni, ready");
  await ordersOn(two).filter({ hasText: "Spritz" }).getByRole("button", { name: "Call a waiter" }).click();
  for (const page of [one, two]) await page.getByText("Table 7 calls").waitFor();
  for (const page of [one, two]) expect(await ordersOn(page).count()).toBe(2);

  const connected = async (): Promise<boolean | undefined> => (await writer.presence("orders/1")).users[0]?.devices[0]?.connected;
  expect(await connected()).toBe(true);
  for (const page of [one, two]) await page.close();
  while (await connected()) await new Promise((soon) => setTimeout(soon, 50));
});

test("what is published between the render on the server and the first stream of the page is not missed", async () => {
  const { url, writer } = await startApp();
  await writer.mutate({ op: "put", topic: "orders/1", data: { table: 3, drink: "Negroni", status: "open" } });
  const page = await (await (await startChromium()).newContext()).newPage();
  page.setDefaultTimeout(0);
  onTestFinished(() => page.context().close());
  let asked = false;
  let release: (() => void) | undefined;
  const hydrating = new Promise<void>((go) => (release = go));
  await page.route("**/_next/static/**/*.js", async (route) => {
    asked = true;
    await hydrating;
    await route.continue();
  });
  const streams: string[] = [];
  page.on("request", (request) => void (request.url().includes("/v1/stream") && streams.push(request.url())));
  await page.goto(url, { waitUntil: "commit" });
  await shows(page, "Table 3: Negroni, open");
  await until(() => asked);
  await writer.mutate({ op: "put", topic: "orders/2", data: { table: 4, drink: "Bellini", status: "open" } });
  await writer.mutate({ op: "patch", topic: "orders/1", patch: { status: "ready" } });
  expect(streams).toEqual([]); // no script has run
  release!();
  await shows(page, "Table 4: Bellini, open");
  await shows(page, "Table 3: Negroni, ready");
  await live(page);
  expect(streams).toHaveLength(1);
});

test("over a kill -9 of the hub no order is lost or there twice, the one that was placed meanwhile neither", async () => {
  const { url, hub, writer, log } = await startApp();
  const [one, two] = [await open(url), await open(url)];
  await Promise.all([live(one), live(two)]);
  for (let i = 1; i <= 2; i++) {
    const both = Promise.all([cut(one), cut(two)]);
    await hub.kill();
    await both;
    await one.getByLabel("Table").fill(String(i));
    await one.getByRole("button", { name: "Order" }).click();
    await hub.start();
    await writer.mutate({ op: "put", topic: `orders/${i}`, data: { table: i, drink: "Bellini", status: "open" } });
    for (const page of [one, two]) {
      await shows(page, `Table ${i}: Mojito, open`);
      await shows(page, `Table ${i}: Bellini, open`);
    }
  }
  for (const page of [one, two]) expect(await ordersOn(page).count()).toBe(4);
  const fresh = await open(url);
  expect(await ordersOn(fresh).count()).toBe(4);
  expect(log()).not.toMatch(/error|fail/i); // a hub that is away is no fault of the app's
});
