import type { Clock } from "./clock.ts";
import { createObservable, type Observable, type Run } from "./observable.ts";

/** From best to worst. */
export type Level = "excellent" | "good" | "fair" | "poor";

/** What keeps the level from being better; `disconnected` is beside all measuring. */
export type Reason = "rtt" | "jitter" | "lag" | "missed" | "drops" | "resets" | "ping" | "disconnected";

/** How good the connection is, and why it is not better. */
export interface Quality {
  readonly quality: Level;
  /** Whether enough was measured: two round trips and a heartbeat. */
  readonly confident: boolean;
  readonly reasons: readonly Reason[];
  readonly rttMs?: number | undefined;
  readonly jitterMs?: number | undefined;
  readonly lagMs?: number | undefined;
  readonly missedHeartbeats: number;
  readonly drops: number;
  /** The hub's clock less the client's own, which is no wall clock: only for what the hub tells the time of. */
  readonly clockOffsetMs?: number | undefined;
}

/** What is measured. An undefined figure has no say. */
export interface Figures {
  readonly rtt?: number | undefined;
  readonly jitter?: number | undefined;
  readonly lag?: number | undefined;
  readonly missed: number;
  readonly drops: number;
  readonly resets: number;
  readonly ping: number;
}

const LEVELS: readonly Level[] = ["poor", "fair", "good", "excellent"];

/** The most that excellent, good and fair allow. */
const BOUNDS: Readonly<Record<keyof Figures, readonly [number, number, number]>> = {
  rtt: [150, 300, 800],
  jitter: [50, 150, 400],
  lag: [500, 1000, 3000],
  missed: [0, 1, 2],
  drops: [0, 1, 3],
  resets: [0, 0, 1],
  ping: [0, 0, 1],
};

/** Grades figures by the worst of them: 3 is excellent, 0 poor. The reasons are the figures at that grade. */
export function grade(figures: Figures): [grade: number, reasons: Reason[]] {
  let worst = 3;
  let reasons: Reason[] = [];
  for (const [name, bounds] of Object.entries(BOUNDS) as [keyof Figures, readonly number[]][]) {
    const at = 3 - bounds.filter((bound) => (figures[name] ?? 0) > bound).length;
    if (at < worst) [worst, reasons] = [at, []];
    if (at === worst && at < 3) reasons.push(name);
  }
  return [worst, reasons];
}

/** Measures one client's connection. All times are the Clock's. */
export interface Gauge {
  /** A ping came back: the hub's time, in milliseconds, when it answered; or it did not. */
  pinged(sent: number, hubTime: number | undefined): void;
  heartbeat(hubTime: number): void;
  /** A live event of the hub's time came; replayed ones say nothing. */
  event(hubTime: number): void;
  /** It happened once. `missed`: nothing came for longer than a heartbeat and its tolerance. */
  see(what: "missed" | "resets"): void;
  /** A stream is live, or how it no longer is. */
  turn(down?: Down): void;
  /** Judges anew, as every turn and failed ping does, too. */
  evaluate(): void;
  /** The same object until something changed. */
  readonly quality: Observable<Quality>;
  /** The level now, 3 for excellent. */
  level(): number;
}

/** How a stream ended: by the hub's plan, the app's or sleep, which is no drop; or fell silent or was refused, and the level is poor at once. */
export type Down = "planned" | "dropped" | "dead";

/** So many of each figure's samples are remembered. */
const KEPT = 100;

/** What a client shows that has not connected yet. */
export const UNMEASURED: Quality = { quality: "good", confident: false, reasons: [], missedHeartbeats: 0, drops: 0 };

export function createGauge(clock: Clock, run: Run): Gauge {
  type What = "rtt" | "lag" | "missed" | "drops" | "resets" | "ping";
  const seen: { [Kind in What]?: { readonly at: number; readonly ms: number; readonly offset: number }[] } = {};
  let offset: number | undefined; // of the hub's clock, by the fastest of the last round trips
  let beat: number | undefined; // how much later than the hub's time the last heartbeat came
  let jitter: number | undefined;

  let level = 2;
  let reasons: readonly Reason[] = [];
  let worse = 0; // evaluations in a row that were worse
  let notBetter = 0; // when the last one was that was not better, or the level rose
  let ended: Down | undefined = "planned"; // how the last stream did; a first one begins as if there had been one
  let lost: number | undefined; // when it was last live, or was first asked about
  const quality = createObservable(UNMEASURED, run);

  const see = (what: What, ms = 1, off = 0): void => {
    const samples = (seen[what] ??= []);
    samples.push({ at: clock.now(), ms, offset: off });
    if (samples.length > KEPT) samples.shift();
  };
  const recent = (what: What, minutes: number, most = KEPT): number[] =>
    (seen[what] ?? [])
      .filter(({ at }) => clock.now() - at <= minutes * 60_000)
      .map(({ ms }) => ms)
      .slice(-most);
  const part = (values: number[], share: number): number | undefined => values.sort((a, b) => a - b)[Math.ceil(values.length * share) - 1];
  const round = (ms: number | undefined): number | undefined => ms && Math.round(ms);

  const evaluate = (): void => {
    const now = clock.now();
    const pings = recent("ping", 3, 5);
    const figures: Figures = {
      rtt: part(recent("rtt", 3, 5), 0.5),
      jitter,
      lag: part(recent("lag", 1, 20), 0.95),
      missed: recent("missed", 5).length,
      drops: recent("drops", 5).length,
      resets: recent("resets", 10).length,
      ping: pings.filter(Boolean).length,
    };
    const confident = !!seen.rtt?.[1] && jitter !== undefined;
    const [all, why] = grade(figures);
    const measured = confident ? all : Math.min(2, all);
    const cut = ended && (ended === "dead" || now - (lost ??= now) >= 5_000);
    const way = ended ? 0 : Math.sign(measured - level);
    worse = way < 0 ? worse + 1 : 0;
    if (way <= 0) notBetter = now;
    // What ended by plan goes on where it was; else it climbs.
    if (cut && ended !== "planned") level = 0;
    // Two worse in a row, or two pings in a row that failed.
    else if (worse > 1 || (worse > 0 && pings.slice(-2).join() === "1,1")) level = measured;
    else if (now - notBetter >= 15_000) {
      level++;
      notBetter = now;
    }
    if (!ended && level === measured) reasons = why;
    const next: Quality = {
      quality: LEVELS[cut ? 0 : level]!,
      confident,
      reasons: cut ? ["disconnected"] : reasons,
      rttMs: round(figures.rtt),
      jitterMs: round(jitter),
      lagMs: round(figures.lag),
      missedHeartbeats: figures.missed,
      drops: figures.drops,
      clockOffsetMs: round(offset),
    };
    if (JSON.stringify(next) !== JSON.stringify(quality.get())) quality.set(next);
  };

  return {
    see,
    pinged(sent, hubTime) {
      see("ping", hubTime ? 0 : 1);
      if (!hubTime) return evaluate();
      const ms = clock.now() - sent;
      see("rtt", ms, hubTime - sent - ms / 2);
      offset = seen.rtt!.slice(-10).reduce((best, sample) => (sample.ms < best.ms ? sample : best)).offset;
    },
    heartbeat(time) {
      const late = clock.now() - time;
      jitter ??= 0;
      if (beat !== undefined) jitter += (Math.abs(late - beat) - jitter) / 16;
      beat = late;
    },
    event(hubTime) {
      if (offset !== undefined) see("lag", Math.max(0, clock.now() + offset - hubTime));
    },
    turn(down) {
      if (!down) beat = undefined; // two connections have no rhythm in common
      else if (!ended) {
        if (down !== "planned") see("drops");
        lost = clock.now();
      }
      ended = down;
      evaluate();
    },
    evaluate,
    quality,
    level: () => level,
  };
}
