import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { REACTS } from "./versions.ts";

type Served = typeof import("./served.tsx");

/** Loads served.tsx with a React of its own. */
async function load(alias: Record<string, string>): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), "roxy-served-"));
  await build({
    entryPoints: [join(import.meta.dirname, "served.tsx")],
    outfile: join(folder, "served.cjs"),
    alias,
    bundle: true,
    platform: "node",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' }, // where it complains
    logLevel: "silent",
  });
  const served: Served = createRequire(folder)(join(folder, "served.cjs"));
  rmSync(folder, { recursive: true });
  return served;
}

/** A server that knows who asked it. */
async function witness(): Promise<{ url: string; asked(): Promise<string[]> }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(request.url!);
    response.end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url,
    async asked() {
      await fetch(`${url}/last`); // behind whatever else was begun
      return seen;
    },
  };
}

describe.each(REACTS)("%s", (react, alias) => {
  let served: Served;
  beforeAll(async () => void (served = await load(alias)));

  test("rendering on a server touches no network, and says the same each time", async () => {
    const { url, asked } = await witness();
    expect(`React ${served.version}`).toMatch(react);
    const { render, close } = served.renderer(url);
    onTestFinished(close);
    const complaints = vi.spyOn(console, "error");
    onTestFinished(() => complaints.mockRestore());
    const html = render();
    expect(render()).toBe(html);
    expect(await asked()).toEqual(["/last"]);
    expect(complaints).not.toHaveBeenCalled();
    expect(html).toContain('<span role="status" class="roxy-status" data-status="idle" data-quality="good">Connecting…</span>');
    expect(html).toContain('<span role="status" class="mine" data-status="idle" data-quality="good">Moment…</span>');
    expect(html.match(/as rendered/g)).toHaveLength(3);
  });

  test("hooks of entities say what the provider lacks", () => {
    expect(served.renderLost).toThrow("RoxyProvider has no entities");
  });
});
