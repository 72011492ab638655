import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { createContext, Script } from "node:vm";
import { expect, test } from "vitest";

test("the built hub works where there is neither Node nor fetch, streams or text codecs, as in Jest's jsdom", async () => {
  const dist = resolve(import.meta.dirname, "../../dist");
  const jsdom = createContext({ performance, setTimeout, clearTimeout, URL, AbortController, crypto, atob, console });
  const loaded = new Map<string, { exports: unknown }>();
  const load = (path: string): unknown => {
    const known = loaded.get(path);
    if (known) return known.exports;
    const module = { exports: {} };
    loaded.set(path, module);
    const require = (name: string): unknown => load(createRequire(path).resolve(name));
    const run = new Script(`(function (module, exports, require) {${readFileSync(path, "utf8")}\n})`, { filename: path }).runInContext(jsdom) as (...args: unknown[]) => void;
    expect(dirname(path)).toBe(dist); // it has no dependency
    run(module, module.exports, require);
    return module.exports;
  };
  const { createClient } = load(`${dist}/index.cjs`) as typeof import("../../src/index.ts");
  const { createTestHub } = load(`${dist}/testing.cjs`) as typeof import("../../src/testing.ts");
  const hub = createTestHub();
  const client = createClient({ url: hub.url, platform: hub.platform, token: hub.token({ sub: "ann" }), topics: ["orders/*"] });
  const heard = new Promise((done) => client.subscribe("*", ({ data }) => done(data)));
  await new Promise<void>((live) => client.continuity.subscribe(() => client.continuity.get() === "ok" && live()));
  await client.publish({ topic: "orders/1", data: "☕" });
  expect(await heard).toBe("☕");
  client.close();
  hub.close();
});
