import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { House } from "./house.ts";

afterEach(() => vi.unstubAllGlobals());

/** Three tabs of different topics open before anything else happens. */
const opening = [1, 2, 13].map((which) => 5 + 40 * which);
const histories = fc.array(fc.nat(40 * 64), { minLength: 50, maxLength: 300, size: "max" });

test.each([1, 2, 3])("whatever happens in whatever order, no tab misses an event or has it twice, and in the end one stream serves all (seed %i)", async (seed) => {
  const law = fc.asyncProperty(histories, async (history) => {
    const house = new House();
    for (const n of [...opening, ...history]) await house.step(n);
    await house.quiesce();
    expect(house.broken).toEqual([]);
  });
  // A history that is made shorter is another one: what happens next depends on all that is under way.
  await fc.assert(law, { seed, numRuns: 100, endOnFailure: true });
}, 120_000);
