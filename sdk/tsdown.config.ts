import { defineConfig } from "tsdown";

// One entry for each subpath of package.json's exports. eventsource-parser is bundled: on Node 20 npm would choose an old
// one, which loses ids.
export default defineConfig({
  entry: { index: "src/index.ts", eventsource: "src/eventsource.ts", ws: "src/ws.ts", store: "src/store.ts", outbox: "src/outbox.ts", testing: "src/testing.ts" },
  format: ["esm", "cjs"],
  target: "es2022",
  platform: "neutral",
  dts: { oxc: true },
  fixedExtension: false,
  sourcemap: true,
  clean: true,
});
