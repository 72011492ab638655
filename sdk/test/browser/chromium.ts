import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium, type Browser, type Page } from "playwright-core";
import { onTestFinished } from "vitest";

/** A web server whose one page runs a script of these tests. */
export interface Site {
  /** Its origin, which a hub must allow: `cors: { origins: ["…"] }`. */
  readonly origin: string;
  /** Where the page is. */
  readonly url: string;
}

/** Bundles entry, a path, and serves it as the script of a page with a `<div id="root">` until the test ends. For alias see esbuild. */
export async function serveSite(entry: string, alias: Record<string, string> = {}): Promise<Site> {
  const built = await build({
    entryPoints: [entry],
    alias,
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    sourcemap: "inline",
    define: { "process.env.NODE_ENV": '"development"' },
    logLevel: "silent",
  });
  const script = built.outputFiles[0]!.text;
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">
<div id="root"></div><script type="module" src="/entry.js"></script></html>`;
  const server = createServer((request, response) => {
    const isScript = request.url === "/entry.js";
    response.setHeader("Content-Type", isScript ? "text/javascript; charset=utf-8" : "text/html; charset=utf-8");
    response.end(isScript ? script : page);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const origin = `http://127.0.0.1:${port}`;
  return { origin, url: `${origin}/` };
}

let browser: Promise<Browser> | undefined;

/**
 * Starts Chromium, once for a test file, as its first call says; it ends with the test process. Playwright has it forget a page
 * that is left. One that keepsPages has them in its back/forward cache, as a person's does, and page.goBack never returns: no
 * document is loaded (https://github.com/microsoft/playwright/pull/41872).
 */
export function startChromium({ keepsPages = false } = {}): Promise<Browser> {
  const path = process.env["CHROMIUM"] ?? execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  return (browser ??= chromium.launch({ executablePath: path, args: quiet, ignoreDefaultArgs: keepsPages ? ["--disable-back-forward-cache"] : [] }));
}

/** Opens a page in a profile of its own, closed with the test. What the page throws fails the test. */
export async function openPage(url: string): Promise<Page> {
  return (await openProfile())(url);
}

/** Returns what opens pages of one profile: they share connections, locks, channels and storage as a person's tabs do. */
export async function openProfile(): Promise<(url: string) => Promise<Page>> {
  const context = await (await startChromium()).newContext();
  const thrown: unknown[] = [];
  onTestFinished(async () => {
    await context.close();
    if (thrown.length > 0) throw thrown[0];
  });
  return async (url) => {
    const page = await context.newPage();
    page.on("pageerror", (error) => thrown.push(error));
    await page.goto(url);
    return page;
  };
}
