import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, inject, test } from "vitest";

test("the committed types are what the hub's program makes of the schemas", () => {
  const schemas = resolve(import.meta.dirname, "../../schemas");
  const made = execFileSync(join(inject("bin"), "roxy"), ["generate", "typescript", "--schemas", schemas], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const committed = readFileSync(resolve(import.meta.dirname, "../src/roxy.gen.ts"), "utf8");
  expect(committed, "make them anew: roxy generate typescript --schemas examples/bar/schemas --out examples/bar/web/src/roxy.gen.ts").toBe(made);
});
