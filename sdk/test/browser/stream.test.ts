import { join } from "node:path";
import { expect, test } from "vitest";
import { startHub } from "../hub.ts";
import { openPage, serveSite } from "./chromium.ts";

test("a page of another origin hears each event once over a kill -9 of the hub", async () => {
  const site = await serveSite(join(import.meta.dirname, "stream.page.ts"));
  const hub = await startHub(`cors: { origins: ["${site.origin}"] }`);
  const token = hub.token({ sub: "a", roles: ["everything"] });
  const page = await openPage(`${site.url}#${new URLSearchParams({ hub: hub.url, token })}`);
  await page.waitForFunction(() => window.client.state.get() === "live");
  const publish = async (n: number): Promise<void> => {
    const answer = await fetch(`${hub.url}/v1/events`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ topic: "orders/7", type: "order:new", data: n }),
    });
    expect(answer.status).toBe(200);
  };
  await publish(1);
  await hub.kill();
  await hub.start();
  await publish(2);
  await page.waitForFunction(() => window.handled.length >= 2);
  await publish(3);
  await page.waitForFunction(() => window.handled.length >= 3);
  expect(await page.evaluate(() => window.handled)).toEqual([1, 2, 3]);
});
