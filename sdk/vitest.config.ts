import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    globalSetup: ["test/build.ts"],
    testTimeout: 60_000,
    maxWorkers: 4, // most tests wait for a hub or a browser: two cores bear twice as many
    hookTimeout: 120_000,
    pool: "forks",
    execArgv: ["--experimental-websocket", "--experimental-eventsource"], // Node 20 has them, and hides them
  },
});
