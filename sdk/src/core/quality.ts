import type { Clock } from "./clock.ts";

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
  readonly rttMs?: number;
  readonly jitterMs?: number;
  readonly lagMs?: number;
  readonly missedHeartbeats: number;
  readonly drops: number;
  /** The hub's clock less the client's own, which is no wall clock: only for what the hub tells the time of. */
  readonly clockOffsetMs?: number;
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
export function grade(figures: Figures): { grade: number; reasons: Reason[] } {
  let worst = 3;
  let reasons: Reason[] = [];
  for (const [name, bounds] of Object.entries(BOUNDS) as [keyof Figures, readonly number[]][]) {
    const value = figures[name];
    if (value === undefined) continue;
    const at = 3 - bounds.filter((bound) => value > bound).length;
    if (at < worst) [worst, reasons] = [at, []];
    if (at === worst && at < 3) reasons.push(name);
  }
  return { grade: worst, reasons };
}

/** Measures one client's connection. All times are the Clock's. */
export interface Gauge {
  /** A ping came back: the hub's time, in milliseconds, when it answered. */
  pinged(sent: number, hubTime: number): void;
  pingFailed(): void;
  heartbeat(hubTime: number): void;
  /** A live event of the hub's time came; replayed ones say nothing. */
  event(hubTime: number): void;
  /** Nothing came for longer than a heartbeat and its tolerance. */
  missed(): void;
  reset(): void;
  /** A stream is live. */
  up(): void;
  /** It no longer is. A planned end counts as no drop; `dead`: the level is poor at once. */
  down(how: { planned?: boolean; dead?: boolean }): void;
  /** Judges anew, and returns the same object until something changed. */
  evaluate(): Quality;
  /** The level now, 3 for excellent. */
  level(): number;
}

const MINUTE = 60_000;

/** What a client shows that has not connected yet. */
export const UNMEASURED: Quality = { quality: "good", confident: false, reasons: [], missedHeartbeats: 0, drops: 0 };

export function createGauge(clock: Clock): Gauge {
  let rtts: { at: number; ms: number; offset: number }[] = [];
  let offset: number | undefined;
  let beat: { arrival: number; time: number } | undefined;
  let beats = 0;
  let jitter: number | undefined;
  let lags: { at: number; ms: number }[] = [];
  let misses: number[] = [];
  let drops: number[] = [];
  let resets: number[] = [];
  let pings: boolean[] = []; // whether the last five failed

  let level = 2;
  let reasons: readonly Reason[] = [];
  let worse = 0; // evaluations in a row
  let better = 0;
  let risen = -Infinity;
  let live = false;
  let lost: number | undefined; // when it was last live, or was first asked about
  let held: number | undefined = level; // the level that a planned end leaves, and that a first stream begins with
  let dead = false;
  let urgent = false;
  let shown = UNMEASURED;

  const middle = (values: number[], part: number): number | undefined => {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  };

  const figures = (now: number): Figures => {
    misses = misses.filter((at) => now - at <= 5 * MINUTE);
    drops = drops.filter((at) => now - at <= 5 * MINUTE);
    resets = resets.filter((at) => now - at <= 10 * MINUTE);
    lags = lags.filter(({ at }) => now - at <= MINUTE);
    const recent = rtts.slice(-5).filter(({ at }) => now - at <= 3 * MINUTE);
    return {
      rtt: middle(recent.map(({ ms }) => ms), 0.5),
      jitter,
      lag: middle(lags.map(({ ms }) => ms), 0.95),
      missed: misses.length,
      drops: drops.length,
      resets: resets.length,
      ping: pings.filter(Boolean).length,
    };
  };

  const judge = (now: number, measured: number, why: Reason[]): void => {
    if (!live) {
      lost ??= now;
      if (dead || now - lost >= 5_000) [level, reasons] = [0, ["disconnected"]];
      worse = better = 0;
      return;
    }
    if (measured < level) {
      better = 0;
      if (++worse >= 2 || urgent) [level, reasons, worse] = [measured, why, 0];
    } else if (measured > level) {
      worse = 0;
      if (++better >= 3 && now - risen >= 15_000) {
        level++;
        better = 0;
        risen = now;
        if (level === measured) reasons = why;
      }
    } else {
      worse = better = 0;
      reasons = why;
    }
  };

  return {
    pinged(sent, hubTime) {
      const now = clock.now();
      rtts.push({ at: now, ms: now - sent, offset: hubTime - (sent + now) / 2 });
      rtts = rtts.slice(-10);
      offset = rtts.reduce((best, sample) => (sample.ms < best.ms ? sample : best)).offset;
      pings = [...pings, false].slice(-5);
    },
    pingFailed() {
      urgent ||= pings.at(-1) === true;
      pings = [...pings, true].slice(-5);
    },
    heartbeat(hubTime) {
      const arrival = clock.now();
      beats++;
      if (beat) {
        const difference = Math.abs(arrival - beat.arrival - (hubTime - beat.time));
        jitter = (jitter ?? 0) + (difference - (jitter ?? 0)) / 16;
      }
      beat = { arrival, time: hubTime };
    },
    event(hubTime) {
      const now = clock.now();
      if (offset !== undefined) lags = [...lags.slice(-19), { at: now, ms: Math.max(0, now + offset - hubTime) }];
    },
    missed: () => void misses.push(clock.now()),
    reset: () => void resets.push(clock.now()),
    up() {
      live = true;
      dead = false;
      beat = undefined; // two connections have no rhythm in common
      if (held !== undefined) [level, reasons] = [held, []];
      held = undefined;
    },
    down({ planned = false, dead: now = false }) {
      dead = now;
      if (!live) return;
      live = false;
      lost = clock.now();
      if (planned) held = level;
      else drops.push(lost);
    },
    evaluate() {
      const now = clock.now();
      const all = figures(now);
      const confident = rtts.length >= 2 && beats >= 1;
      const measured = grade(all);
      judge(now, confident ? measured.grade : Math.min(2, measured.grade), measured.reasons);
      urgent = false;
      const round = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.round(ms));
      const next = defined<Quality>({
        quality: LEVELS[level]!,
        confident,
        reasons,
        rttMs: round(all.rtt),
        jitterMs: round(all.jitter),
        lagMs: round(all.lag),
        missedHeartbeats: all.missed,
        drops: all.drops,
        clockOffsetMs: round(offset),
      });
      if (JSON.stringify(next) !== JSON.stringify(shown)) shown = next;
      return shown;
    },
    level: () => level,
  };
}

/** Returns the members that have a value. */
export function defined<Shape>(members: { [Name in keyof Shape]: Shape[Name] | undefined }): Shape {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Shape;
}
