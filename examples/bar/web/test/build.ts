import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type {} from "vitest";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The folder of the programs, built from this checkout: roxy and bar-serve. */
    bin: string;
  }
}

/** Builds what the tests drive: the hub, the app's server, and the app. The SDK is there already (npm --prefix sdk run build). */
export default function setup(project: TestProject): () => void {
  const bin = mkdtempSync(join(tmpdir(), "roxy-bar-"));
  const root = resolve(import.meta.dirname, "../../../..");
  execFileSync("go", ["build", "-o", join(bin, "roxy"), "./cmd/roxy"], { cwd: root, stdio: "inherit" });
  execFileSync("go", ["build", "-o", join(bin, "bar-serve"), "./examples/bar/serve"], { cwd: root, stdio: "inherit" });
  execFileSync("node", ["build.js"], { cwd: resolve(import.meta.dirname, ".."), stdio: "inherit" });
  project.provide("bin", bin);
  return () => rmSync(bin, { recursive: true, force: true });
}
