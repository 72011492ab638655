import { join } from "node:path";
import { expect } from "vitest";
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
  publish(event: Readonly<Record<string, unknown>>): Promise<void>;
  /** The streams of the tabs' user, as the hub sees them. */
  streams(): Promise<readonly { readonly patterns: readonly string[] }[]>;
}

const ANN: Claims = { sub: "ann", roles: ["everything"] };

/** Starts a hub, and a browser of one profile. */
export async function startDesk(): Promise<Desk> {
  const site = await serveSite(join(import.meta.dirname, "tabs.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const openTab = await openProfile();
  const boss = hub.token({ sub: "boss", roles: ["everything"] });
  const ask = async (url: string, init: RequestInit = {}): Promise<unknown> => {
    const answer = await fetch(url, { ...init, headers: { Authorization: `Bearer ${boss}`, "Content-Type": "application/json" } });
    const body: unknown = await answer.json();
    expect(answer.status, JSON.stringify(body)).toBeLessThan(300);
    return body;
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
    async publish(event) {
      await ask(`${hub.url}/v1/events`, { method: "POST", body: JSON.stringify({ topic: "orders/7", type: "order:new", ...event }) });
    },
    async streams() {
      const { connections } = (await ask(`${hub.admin}/v1/admin/connections`)) as { connections: { user: string; patterns: string[] }[] };
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
