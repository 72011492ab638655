import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    globalSetup: ["test/build.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    pool: "forks",
    execArgv: ["--experimental-websocket", "--experimental-eventsource"], // Node 20 has them, and hides them
  },
});
