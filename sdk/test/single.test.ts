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
