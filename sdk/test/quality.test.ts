import fc from "fast-check";
import { expect, test } from "vitest";
import { createGauge, grade, type Figures, type Gauge } from "../src/core/quality.ts";
import { createRun } from "../src/core/observable.ts";
import { createFakeClock, type FakeClock } from "./clock.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly gauge: Gauge;
  /** A ping that takes ms. */
  ping(ms: number): Promise<void>;
  /** So many evaluations, 5 s apart, with a heartbeat for every third. */
  run(evaluations: number, ms?: number): Promise<string>;
  event(lag: number): void;
  shown(): string;
}

/** A live connection; the hub's clock is ahead of ours by skew. */
function bench(skew = 1_700_000_000_000): Bench {
  const clock = createFakeClock();
  const gauge = createGauge(clock, createRun(String));
  gauge.turn();
  const shown = (): string => {
    gauge.evaluate();
    const { quality, reasons } = gauge.quality.get();
    return reasons.length > 0 ? `${quality}[${reasons.join()}]` : quality;
  };
  const ping = async (ms: number): Promise<void> => {
    const sent = clock.now();
    await clock.go(ms);
    gauge.pinged(sent, sent + ms / 2 + skew);
  };
  return {
    clock,
    gauge,
    ping,
    shown,
    event: (lag) => gauge.event(clock.now() + skew - lag),
    async run(evaluations, ms = 40) {
      let last = shown();
      for (let i = 0; i < evaluations; i++) {
        await clock.go(5_000 - (i % 6 === 0 ? ms : 0));
        if (i % 6 === 0) await ping(ms);
        if (i % 3 === 0) gauge.heartbeat(clock.now() + skew);
        last = shown();
      }
      return last;
    },
  };
}

test.each<[string, string, (b: Bench) => Promise<string>]>([
  ["rtt 40 and lag 80", "excellent", async (b) => (await b.run(12), b.event(80), b.run(12))],
  ["rtt 200", "good[rtt]", (b) => b.run(24, 200)],
  ["rtt 400", "fair[rtt]", (b) => b.run(24, 400)],
  ["rtt 900", "poor[rtt]", (b) => b.run(24, 900)],
  ["one missed heartbeat", "good[missed]", async (b) => (await b.run(24), b.gauge.see("missed"), b.run(6))],
  ["three missed heartbeats", "poor[missed]", async (b) => (await b.run(24), [1, 2, 3].forEach(() => b.gauge.see("missed")), b.run(6))],
  ["two drops", "fair[drops]", async (b) => (await b.run(24), [1, 2].forEach(() => (b.gauge.turn("dropped"), b.gauge.turn())), b.run(6))],
  [
    "five rotations by plan",
    "excellent",
    async (b) => (await b.run(24), [1, 2, 3, 4, 5].forEach(() => (b.gauge.turn("planned"), b.gauge.turn())), b.run(6)),
  ],
  ["rtt 40 and lag 2 s", "fair[lag]", async (b) => (await b.run(24), [1, 2, 3].forEach(() => b.event(2_000)), b.run(6))],
  ["a reset", "fair[resets]", async (b) => (await b.run(24), b.gauge.see("resets"), b.run(6))],
  ["two failed pings in a row, at once", "poor[ping]", async (b) => (await b.run(24), b.gauge.pinged(0, undefined), b.gauge.pinged(0, undefined), b.shown())],
  ["one worse evaluation", "excellent", async (b) => (await b.run(24), b.gauge.see("missed"), b.shown())],
  ["4 s without a stream", "excellent", async (b) => (await b.run(24), b.gauge.turn("dropped"), await b.clock.go(4_000), b.shown())],
  ["6 s without a stream", "poor[disconnected]", async (b) => (await b.run(24), b.gauge.turn("dropped"), await b.clock.go(6_000), b.shown())],
  ["a stream that fell silent", "poor[disconnected]", async (b) => (await b.run(24), b.gauge.turn("dead"), b.shown())],
  [
    "twenty minutes of sleep",
    "excellent",
    async (b) => (await b.run(24), b.gauge.turn("planned"), await b.clock.sleep(1_200_000), b.shown(), b.gauge.turn(), b.shown()),
  ],
])("%s: %s", async (_, want, play) => {
  expect(await play(bench())).toBe(want);
});

test("before anything is measured the quality is good, without confidence", () => {
  const { gauge } = bench();
  gauge.evaluate();
  expect(gauge.quality.get()).toMatchObject({ quality: "good", confident: false, reasons: [] });
});

test("the value is the same object until something changed", async () => {
  const b = bench();
  await b.run(24);
  const before = b.gauge.quality.get();
  b.gauge.evaluate();
  expect(b.gauge.quality.get()).toBe(before);
});

test("what the device's clock says changes nothing", async () => {
  for (const skew of [1_700_000_000_000 - 3_600_000, 1_700_000_000_000 + 3_600_000, 0]) {
    const b = bench(skew);
    await b.run(12);
    b.event(80);
    expect(await b.run(12)).toBe("excellent");
  }
});

const measure = fc.record<Figures>({
  rtt: fc.option(fc.integer({ min: 0, max: 2_000 }), { nil: undefined }),
  jitter: fc.option(fc.integer({ min: 0, max: 1_000 }), { nil: undefined }),
  lag: fc.option(fc.integer({ min: 0, max: 9_000 }), { nil: undefined }),
  missed: fc.nat(5),
  drops: fc.nat(6),
  resets: fc.nat(4),
  ping: fc.nat(5),
});

test("a worse figure never makes a better grade", () => {
  fc.assert(
    fc.property(measure, fc.constantFrom<keyof Figures>("rtt", "jitter", "lag", "missed", "drops", "resets", "ping"), fc.nat(3_000), (figures, which, more) => {
      const worse = { ...figures, [which]: (figures[which] ?? 0) + more };
      expect(grade(worse)[0]).toBeLessThanOrEqual(grade({ ...figures, [which]: figures[which] ?? 0 })[0]);
    }),
    { numRuns: 2_000 },
  );
});

test("the level rises by one in 15 s at most, whatever is measured", async () => {
  const happening = fc.constantFrom("ping", "slow", "failed", "heartbeat", "missed", "reset", "drop", "planned", "wait", "evaluate");
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 120 }), async (script) => {
      const b = bench();
      let level = b.gauge.level();
      let risen = -Infinity;
      let held = level;
      for (const what of script) {
        if (what === "ping") await b.ping(40);
        else if (what === "slow") await b.ping(900);
        else if (what === "failed") b.gauge.pinged(0, undefined);
        else if (what === "heartbeat") b.gauge.heartbeat(b.clock.now());
        else if (what === "missed") b.gauge.see("missed");
        else if (what === "reset") b.gauge.see("resets");
        else if (what === "drop") (b.gauge.turn("dropped"), b.gauge.turn());
        else if (what === "planned") {
          held = b.gauge.level();
          b.gauge.turn("planned");
          b.gauge.turn();
          expect(b.gauge.level()).toBe(held);
        } else if (what === "wait") await b.clock.go(5_000);
        b.gauge.evaluate();
        const now = b.gauge.level();
        if (now > level) {
          expect(now - level).toBe(1);
          expect(b.clock.now() - risen).toBeGreaterThanOrEqual(15_000);
          risen = b.clock.now();
        }
        level = now;
      }
    }),
    { numRuns: 200 },
  );
});
