import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

test("a hub serves the SDK as it is here", () => {
  const folder = join(import.meta.dirname, "..");
  const served = readFileSync(join(folder, "../httpapi/sdk.js"), "utf8");
  const built = execFileSync("npm", ["run", "--silent", "single"], { cwd: folder, encoding: "utf8" });
  expect(served === built, "httpapi/sdk.js is of another version: run `make golden`").toBe(true);
});

test("a page without a build has all that one with a build has for a page", async () => {
  const subpaths = await Promise.all(["index", "eventsource", "ws", "entities", "tabs", "store", "outbox"].map((name) => import(`../src/${name}.ts`) as Promise<object>));
  expect(Object.keys(await import("../src/single.ts")).sort()).toEqual([...new Set(subpaths.flatMap(Object.keys))].sort());
});
