import { createServer } from "node:http";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Page } from "playwright-core";
import { openProfile, serveSite } from "../browser/chromium.ts";
import { type Claims, type Hub, startHub } from "../hub.ts";

/** What a tab is told to follow, and how. */
export interface TabOptions {
  /** Of the tabs that share its stream; without one it has its own. */
  readonly name?: string;
  readonly topics?: readonly string[];
  readonly types?: readonly string[];
  readonly device?: string;
  readonly heartbeat?: string;
  readonly snapshot?: boolean;
  readonly claims?: Claims;
  readonly without?: "locks" | "BroadcastChannel";
}

/** A hub, and a browser whose tabs follow it. */
export interface Desk {
  readonly hub: Hub;
  /** Opens a tab, which connects. */
  open(options?: TabOptions): Promise<Page>;
  /** Publishes an order unless told otherwise, and returns its cursor. */
  publish(event: Readonly<Record<string, unknown>>): Promise<string>;
  /** Makes a call as an administrator who is not the tabs' user. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>;
  /** The streams of the tabs' user, as the hub sees them. */
  streams(): Promise<readonly { readonly patterns: readonly string[] }[]>;
}

const ANN: Claims = { sub: "ann", roles: ["everything"] };

/** Starts a hub, and a browser of one profile. */
export async function startDesk(): Promise<Desk> {
  const site = await serveSite(join(import.meta.dirname, "tabs.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }
limits: { publish: { rate: 10000, burst: 10000 } }`);
  const openTab = await openProfile();
  const boss = hub.token({ sub: "boss", roles: ["everything"] });
  const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const url = (path.startsWith("/v1/admin/") ? hub.admin : hub.url) + path;
    const headers = { Authorization: `Bearer ${boss}`, "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json" };
    const answer = await fetch(url, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const told: unknown = await answer.json();
    expect(answer.status, JSON.stringify(told)).toBeLessThan(300);
    return told;
  };
  return {
    hub,
    open({ name, topics = ["orders/*"], types = [], device, heartbeat, snapshot, claims = ANN, without } = {}) {
      const asked = new URLSearchParams({ hub: hub.url, token: hub.token(claims) });
      for (const topic of topics) asked.append("topic", topic);
      for (const type of types) asked.append("type", type);
      for (const [key, value] of Object.entries({ name, device, heartbeat, without })) if (value) asked.set(key, value);
      if (snapshot) asked.set("snapshot", "1");
      return openTab(`${site.url}#${asked}`);
    },
    ask,
    async publish(event) {
      const { events } = (await ask("POST", "/v1/events", { topic: "orders/7", type: "order:new", ...event })) as { events: { cursor: string }[] };
      return events[0]!.cursor;
    },
    async streams() {
      const { connections } = (await ask("GET", "/v1/admin/connections")) as { connections: { user: string; patterns: string[] }[] };
      return connections.filter(({ user }) => user === ANN.sub);
    },
  };
}

/** Waits until a tab has caught up. */
export const live = async (...tabs: readonly Page[]): Promise<void> => {
  for (const tab of tabs) await tab.waitForFunction(() => window.tab.client.continuity.get() === "ok");
};

/** Waits until a tab has handled so many events, and returns their data. */
export async function handled(tab: Page, count: number): Promise<unknown[]> {
  await tab.waitForFunction((n) => window.tab.handled.length >= n, count);
  return tab.evaluate(() => [...window.tab.handled]);
}

/** Waits until the answer is as wanted. */
export async function until<Value>(get: () => Promise<Value>, good: (value: Value) => boolean): Promise<Value> {
  for (;;) {
    const value = await get();
    if (good(value)) return value;
    await new Promise((soon) => setTimeout(soon, 20));
  }
}

/** Returns the tab that leads, and those that do not. */
export async function ranks(tabs: readonly Page[]): Promise<{ leader: Page; followers: Page[] }> {
  const leads = await until(() => Promise.all(tabs.map((tab) => tab.evaluate(() => window.tab.leads()))), (all) => all.filter(Boolean).length === 1);
  return { leader: tabs[leads.indexOf(true)]!, followers: tabs.filter((_, i) => !leads[i]) };
}

/** Publishes numbers from 1 on, one after the other, until stop, which returns how many there were. */
export function flow(desk: Desk, topic = (_: number): string => "orders/7"): { reached(count: number): Promise<number>; stop(): Promise<number> } {
  let [count, over] = [0, false];
  const done = (async () => {
    for (; !over; count++) await desk.publish({ topic: topic(count + 1), data: count + 1 });
  })();
  return {
    reached: (wanted) => until(async () => count, (n) => n >= wanted),
    async stop() {
      over = true;
      await done;
      return count;
    },
  };
}

/** Returns the numbers from 1 on. */
export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** Ends a tab's process as if it had crashed. */
export async function crash(tab: Page): Promise<void> {
  const gone = tab.waitForEvent("crash");
  const session = await tab.context().newCDPSession(tab);
  session.send("Page.crash").catch(() => {}); // nobody is left to answer
  await gone;
}

/** Stops a page's one thread, as a debugger or an endless loop does, until the function it returns is called. */
export async function freeze(tab: Page): Promise<() => void> {
  let open: (() => void) | undefined;
  let asked = false;
  const server = createServer((_, response) => {
    asked = true;
    open = () => response.writeHead(204, { "Access-Control-Allow-Origin": "*" }).end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await tab.evaluate((url) => window.tab.freeze(url), `http://127.0.0.1:${port}/`);
  await until(async () => asked, Boolean);
  return () => open!();
}
