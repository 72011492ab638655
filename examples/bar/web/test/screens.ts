// The screens of a bar in Chromium, as their people use them.
import { execFileSync } from "node:child_process";
import { chromium, type Browser, type Page } from "playwright-core";
import { onTestFinished } from "vitest";
import type { Bar } from "./bar.ts";

export const PHONE = { width: 390, height: 844 };
export const TABLET = { width: 1180, height: 820 };

let browser: Promise<Browser> | undefined;

function startChromium(): Promise<Browser> {
  const path = process.env["CHROMIUM"] ?? execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return (browser ??= chromium.launch({ executablePath: path, args: quiet }));
}

/** Opens a screen in a profile of its own, closed with the test. What the page throws fails the test. */
export async function openScreen(bar: Bar, viewport: { width: number; height: number }): Promise<Page> {
  const context = await (await startChromium()).newContext({ viewport, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const thrown: unknown[] = [];
  page.on("pageerror", (error) => thrown.push(error));
  onTestFinished(async () => {
    await context.close();
    if (thrown.length > 0) throw thrown[0];
  });
  await page.goto(bar.url);
  return page;
}

/** Opens a screen and signs in by pressing the person's button. */
export async function signedIn(bar: Bar, name: string, role: string, viewport: { width: number; height: number }): Promise<Page> {
  const page = await openScreen(bar, viewport);
  await page.getByRole("button", { name: `${name} ${role}` }).click();
  await live(page);
  return page;
}

/** Waits until the screen says that it is connected and up to date. */
export async function live(page: Page): Promise<void> {
  await page.locator(".chip-ok, .chip-busy:not(:has-text('Connecting')):not(:has-text('Catching'))").waitFor();
}

/** Leads the screen elsewhere, as its own buttons do. */
export async function goTo(page: Page, route: string): Promise<void> {
  await page.evaluate((to) => void (location.hash = to), route);
}

/** Waits until nothing on the screen waits to be sent or decided. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelectorAll(".mark, .trouble, .chip-more").length === 0);
}
