import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Fault, House, type Step, steps } from "./house.ts";

// I1 convergence · I2 no flicker, a view is what the hub said with what is pending · I3 exact rollback · I4 one commit for an id ·
// I5 no lost update · I6 early conflicts are true · I7 versions do not go back · I8 order of a device's commits is its own ·
// I9 each mutation ends once, as the hub says, for who asked for it too · I10 a reload at any moment changes none of this · I11 no conflict with oneself ·
// I12 of an atomic request all is committed or nothing. One of the devices has two tabs, of which one leads.
const histories = fc.array(steps, { minLength: 5, maxLength: 60, size: "max" });

function laws(fault?: Fault): fc.IAsyncProperty<[Step[]]> {
  return fc.asyncProperty(histories, async (history) => {
    const house = new House(fault);
    for (const step of history) await house.step(step);
    await house.quiesce();
  });
}

describe("the optimistic model", () => {
  test.each([1, 2, 3])("keeps its laws over a thousand histories (seed %i)", async (seed) => {
    await fc.assert(laws(), { seed, numRuns: 1000, endOnFailure: true });
  }, 120_000);

  test.each<[Fault, seed?: number]>([
    ["overlay dropped on 200"],
    ["rolled back on timeout"],
    ["no idempotency"],
    ["no own device"],
    ["last write wins"],
    ["sent mutation dropped early"],
    ["no first toucher"],
    ["sent not stored first"],
    ["committed kept after a snapshot"],
    ["group sent one by one"],
    ["two leaders"],
    ["cache behind the outbox", 8],
  ])("breaks a law with this fault: %s", async (fault, seed = 1) => {
    const run = await fc.check(laws(fault), { seed, numRuns: 3000, endOnFailure: true });
    expect(run.failed).toBe(true);
    expect(String(run.errorInstance)).toMatch(/I\d+/);
  }, 120_000);
});
