import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { APP, moduleOf, modulesOf, SCHEMAS } from "../docs.ts";

const sdk = resolve(import.meta.dirname, "../..");
const run = (program: string, ...args: string[]): string => {
  try {
    return execFileSync(join(sdk, "node_modules/.bin", program), args, { cwd: sdk, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
};

let folder: string;
beforeAll(() => {
  // Beside the packages that it needs, and not in dist, which may be in use.
  folder = mkdtempSync(join(sdk, "node_modules/.types-"));
  run("tsdown", "--out-dir", join(folder, "dist"), "--format", "esm", "--logLevel", "silent");
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Compiles files against the built package, and returns what tsc says. */
function compile(files: readonly string[], compilerOptions: object = {}): string {
  const config = join(folder, "tsconfig.json");
  const options = { lib: ["ES2023", "DOM"], types: [], paths: { "@roxy/sdk": ["./dist/index.d.ts"], "@roxy/sdk/*": ["./dist/*.d.ts"] }, ...compilerOptions };
  writeFileSync(config, JSON.stringify({ extends: join(sdk, "tsconfig.base.json"), compilerOptions: options, files }));
  return run("tsc", "-p", config);
}

test("an app that registers its types has misspelt events, fields, topics and patches refused by tsc", () => {
  expect(compile([join(sdk, "test/react/registered.ts")])).toBe("");
});

test("what the guide and the README show compiles, and what they say tsc refuses it does", () => {
  const schemas = join(folder, "schemas");
  mkdirSync(schemas);
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    writeFileSync(join(schemas, `${name}.json`), JSON.stringify({ title: name, type: "object", additionalProperties: false, ...schema }));
  }
  execFileSync(inject("roxy"), ["generate", "typescript", "--schemas", schemas, "--out", join(folder, "roxy.gen.ts")]);
  const [guide, readme] = [modulesOf("docs/guide/app.md"), modulesOf("sdk/README.md")];
  expect([guide, readme].map((page) => Object.keys(page).length)).toEqual([3, 1]);
  const modules = { "app.ts": APP, ...guide, ...readme, "misspelt.tsx": moduleOf('useEntity("orders/7").data?.tabel') };
  for (const [name, text] of Object.entries(modules)) writeFileSync(join(folder, name), text);
  const said = compile(Object.keys(modules), { jsx: "react-jsx", noUnusedLocals: false }).trim().split("\n");
  expect(said).toEqual([expect.stringMatching(/misspelt\.tsx.* Property 'tabel' does not exist/)]);
});
