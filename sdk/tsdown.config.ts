import { defineConfig } from "tsdown";

// One entry for each subpath of package.json's exports.
export default defineConfig({
  entry: {
    index: "src/index.ts",
    eventsource: "src/eventsource.ts",
    ws: "src/ws.ts",
    store: "src/store.ts",
    outbox: "src/outbox.ts",
    entities: "src/entities.ts",
    react: "src/react.ts",
    server: "src/server.ts",
    tabs: "src/tabs.ts",
    testing: "src/testing.ts",
  },
  format: ["esm", "cjs"],
  target: "es2022",
  platform: "neutral",
  dts: { oxc: true },
  fixedExtension: false,
  sourcemap: true,
  clean: true,
});
