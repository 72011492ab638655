import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { createContext, Script } from "node:vm";
import { expect, test } from "vitest";

test("the built package can be imported, and a client made, where there is nothing but a clock", () => {
  const dist = resolve(import.meta.dirname, "../dist");
  const bare = createContext({ performance });
  const load = (path: string): unknown => {
    const module = { exports: {} };
    const require = (name: string): unknown => load(createRequire(path).resolve(name));
    const run = new Script(`(function (module, exports, require) {${readFileSync(path, "utf8")}\n})`, { filename: path }).runInContext(bare) as (
      ...args: unknown[]
    ) => void;
    expect(dirname(path)).toBe(dist); // it has no dependency
    run(module, module.exports, require);
    return module.exports;
  };
  const { createClient } = load(`${dist}/index.cjs`) as typeof import("../src/index.ts");
  expect(load(`${dist}/ws.cjs`)).toHaveProperty("webSocket");
  const client = createClient({ url: "", topics: ["orders/*"] });
  expect(client.inspect()).toMatchObject({ state: "idle", topics: ["orders/*"] });
  client.close();
  expect(client.state.get()).toBe("closed");
});
