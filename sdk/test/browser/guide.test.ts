import { join } from "node:path";
import type { Locator, Page } from "playwright-core";
import { expect, test } from "vitest";
import { freeAddress } from "../hub.ts";
import { openPage } from "./chromium.ts";
import { read } from "./guide.ts";

test("the tutorial, followed to the letter, ends with two browsers that agree", { timeout: 90_000 }, async () => {
  const [hub, admin, web] = [await freeAddress(), await freeAddress(), await freeAddress()];
  const reader = read("tutorial.md", { "127.0.0.1:8080": hub, "127.0.0.1:3000": web, "-p 3000": `-p ${web.split(":")[1]}` });
  for (const file of ["index.html", "app.js"]) reader.save(file);
  const usual = `--listen ${hub} --admin-listen ${admin}`; // the tutorial takes the usual addresses
  const serve = () => reader.start("roxy serve", `http://${admin}/readyz`, usual);
  const running = await serve();
  for (const once of ["echo", "curl"]) await reader.run(once);
  await reader.start("npx", `http://${web}/`);

  const page = (who: string): Promise<Page> => openPage(`http://${web}/?me=${who}`);
  const [ana, ben] = [await page("ana"), await page("ben")];
  const order = async (dish: string): Promise<void> => {
    await ana.getByPlaceholder("What would they like?").fill(dish);
    await ana.getByRole("button", { name: "Order" }).click();
  };
  const line = (on: Page, text: string): Locator => on.locator("li", { hasText: text });
  await ana.getByText("ana: live").waitFor();
  await ben.getByText("ben: live").waitFor();

  await order("Soup");
  await line(ben, "Soup: new, ordered by ana").getByRole("button", { name: "Ready" }).click();
  await line(ana, "Soup: ready, ordered by ana").waitFor();

  await running.kill();
  await ana.getByText("ana: recovering").waitFor();
  await order("Cake");
  await line(ana, "Cake").and(ana.locator(".pending")).waitFor();
  await ana.reload();
  await line(ana, "Cake").and(ana.locator(".pending")).waitFor();
  await serve();
  await line(ana, "Cake").and(ana.locator(":not(.pending)")).waitFor();
  await line(ben, "Cake: new, ordered by ana").waitFor();
  for (const browser of [ana, ben]) expect(await browser.locator("li").allTextContents()).toHaveLength(2);
});

test("the migration, followed to the letter, leaves the components as they are and loses no order", { timeout: 90_000 }, async () => {
  const [hub, admin, web] = [await freeAddress(), await freeAddress(), await freeAddress()];
  const reader = read("migration.md", {
    "127.0.0.1:8080": hub,
    "127.0.0.1:8081": admin,
    "127.0.0.1:3000": web,
    "listen(3000,": `listen(${web.split(":")[1]},`,
    "../roxy/sdk": join(import.meta.dirname, "../.."),
  });
  for (const file of ["server.mjs", "useSSE.js", "Kitchen.jsx", "app.jsx"]) reader.save(file);
  await reader.run("npm init");
  await reader.run("npm install react");
  await reader.run("npx esbuild");
  const before = await reader.start("node", `http://${web}/`);
  const old = await openPage(`http://${web}/?role=kitchen`);
  await old.getByText("connected", { exact: true }).waitFor();
  await reader.run("curl");
  await old.getByText("Soup").waitFor();
  await before.kill();

  reader.save("roxy.yaml");
  await reader.run("(umask");
  const serve = () => reader.start("roxy serve", `http://${admin}/readyz`);
  const running = await serve();
  await reader.run("npm install --install-links");
  for (const file of ["server.mjs", "app.jsx"]) reader.save(file, 2);
  reader.save("useSSE.js", 2);
  await reader.run("npx esbuild");
  await reader.start("node", `http://${web}/`);
  const cook = await openPage(`http://${web}/login?user=carl`);
  const waiter = await openPage(`http://${web}/login?user=ana`);
  for (const page of [cook, waiter]) await page.getByText("connected", { exact: true }).waitFor();
  await reader.run("curl");
  await cook.getByText("Soup").waitFor();
  await running.kill();
  await cook.getByText("not connected").waitFor();
  const ordered = fetch(`http://${web}/api/orders`, { method: "POST", body: JSON.stringify({ id: "2", dish: "Cake" }) });
  await serve();
  expect((await ordered).status).toBe(200);
  await cook.getByText("Cake").waitFor();
  expect(await cook.getByRole("listitem").allTextContents()).toEqual(["Soup", "Cake"]);
  await waiter.getByText("connected", { exact: true }).waitFor();
  expect(await waiter.getByRole("listitem").allTextContents()).toEqual([]);
});
