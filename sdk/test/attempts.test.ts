import fc from "fast-check";
import { expect, test } from "vitest";
import { createAttempts, FLOOR, jitter, LONGEST, PER_MINUTE } from "../src/core/attempts.ts";
import { createFakeClock } from "./clock.ts";

const step = fc.oneof(
  fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
  fc.record({ do: fc.constant("later" as const), ms: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 90_000 })) }),
  fc.record({ do: fc.constantFrom("soon" as const, "cancel" as const, "healthy" as const), ms: fc.constant(0) }),
  fc.record({ do: fc.constant("rebase" as const), ms: fc.integer({ min: 0, max: 5_000 }) }),
);

test("no two attempts begin less than the floor apart, nor too many in a minute, nor before the hub asked, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), async (script, randoms) => {
      const clock = createFakeClock();
      const begun: number[] = [];
      let earliest = -Infinity;
      const attempts = createAttempts(clock, () => randoms.next().value ?? 0, {}, () => {
        expect(clock.now()).toBeGreaterThanOrEqual(earliest);
        begun.push(clock.now());
      });
      for (const { do: what, ms } of script) {
        if (what === "wait") await clock.go(ms);
        else if (what === "later") {
          earliest = Math.max(earliest, clock.now() + ms);
          attempts.begin(ms);
        } else if (what === "rebase") attempts.base = ms;
        else if (what === "healthy") attempts.failures = 0;
        else attempts[what === "soon" ? "begin" : "cancel"]();
      }
      await clock.go(LONGEST);
      begun.forEach((at, i) => {
        if (i > 0) expect(at - begun[i - 1]!).toBeGreaterThanOrEqual(FLOOR);
        if (i >= PER_MINUTE) expect(at - begun[i - PER_MINUTE]!).toBeGreaterThanOrEqual(60_000);
      });
    }),
    { numRuns: 300 },
  );
});

test("an attempt that is asked for begins", async () => {
  const clock = createFakeClock();
  let begun = 0;
  const attempts = createAttempts(clock, () => 0.5, {}, () => void begun++);
  attempts.begin();
  await clock.go(0);
  expect(begun).toBe(1);
  attempts.begin(20_000);
  attempts.begin(); // does not lead around what the hub asked for
  await clock.go(19_999);
  expect(begun).toBe(1);
  await clock.go(1);
  expect(begun).toBe(2);
});

test("a wait grows to the cap and no further, and is anything below it", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(10_000), (random, failures) => {
      const wait = jitter(random, failures, 500, 30_000);
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThanOrEqual(Math.min(30_000, 500 * 2 ** failures));
    }),
  );
});

test("what the hub asks for is waited at most ten minutes", async () => {
  const clock = createFakeClock();
  let begun = 0;
  createAttempts(clock, () => 0, {}, () => void begun++).begin(1e9);
  await clock.go(LONGEST);
  expect(begun).toBe(1);
});
