import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type {} from "vitest";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The path of the hub's program, built from this checkout. */
    roxy: string;
    /** That of the network between a client and it: proxy.ts. */
    faultproxy: string;
  }
}

/** Builds the real hub, and what breaks the network before it, once for all test files; the go command's cache makes a second build quick. */
export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "roxy-sdk-"));
  execFileSync("go", ["build", "-o", `${folder}/`, "./cmd/roxy", "./test/faultproxy"], { cwd: resolve(import.meta.dirname, "../.."), stdio: "inherit" });
  project.provide("roxy", join(folder, "roxy"));
  project.provide("faultproxy", join(folder, "faultproxy"));
  return () => rmSync(folder, { recursive: true, force: true });
}
