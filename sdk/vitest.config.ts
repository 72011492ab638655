import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/build.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    pool: "forks",
    execArgv: ["--experimental-websocket"], // Node 20 hides it, later ones have it anyway
  },
});
