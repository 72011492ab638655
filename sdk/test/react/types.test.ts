import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const sdk = resolve(import.meta.dirname, "../..");
const run = (program: string, ...args: string[]): string => {
  try {
    return execFileSync(join(sdk, "node_modules/.bin", program), args, { cwd: sdk, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
};

test("an app that registers its types has misspelt events, fields, topics and patches refused by tsc", () => {
  // Beside the packages that it needs, and not in dist, which may be in use.
  const folder = mkdtempSync(join(sdk, "node_modules/.types-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  run("tsdown", "--out-dir", join(folder, "dist"), "--format", "esm", "--logLevel", "silent");
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: join(sdk, "tsconfig.base.json"),
      compilerOptions: { lib: ["ES2023", "DOM"], types: [], paths: { "@roxy/sdk/*": ["./dist/*.d.ts"] } },
      files: [join(sdk, "test/react/registered.ts")],
    }),
  );
  expect(run("tsc", "-p", folder)).toBe("");
}, 120_000);
