import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { House } from "./house.ts";

afterEach(() => vi.unstubAllGlobals());

const histories = fc.array(fc.nat(40 * 64), { minLength: 50, maxLength: 300, size: "max" });

test.each([1, 2, 3])("whatever happens in whatever order, no tab misses an event or has it twice, and in the end one stream serves all (seed %i)", async (seed) => {
  const law = fc.asyncProperty(histories, async (history) => {
    const house = new House();
    for (const n of [5 + 40 * 1, 5 + 40 * 2, 5 + 40 * 13, ...history]) await house.step(n);
    await house.quiesce();
    expect(house.broken).toEqual([]);
  });
  await fc.assert(law, { seed, numRuns: 200, endOnFailure: true });
}, 120_000);
