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
  /** It no longer is. */
  down(how: Down): void;
  /** Judges anew, and returns the same object until something changed. */
  evaluate(): Quality;
  /** The level now, 3 for excellent. */
  level(): number;
}

/** How a stream ended: by the hub's plan, the app's or sleep, which is no drop; or fell silent or was refused, and the level is poor at once. */
export type Down = "planned" | "dropped" | "dead";

/** What is remembered of each figure, and for how long. */
const WINDOWS = { rtt: 180_000, lag: 60_000, missed: 300_000, drops: 300_000, resets: 600_000 };
const KEPT = 100;

/** What a client shows that has not connected yet. */
export const UNMEASURED: Quality = { quality: "good", confident: false, reasons: [], missedHeartbeats: 0, drops: 0 };

export function createGauge(clock: Clock): Gauge {
  const seen: Record<keyof typeof WINDOWS, { at: number; ms: number; offset: number }[]> = { rtt: [], lag: [], missed: [], drops: [], resets: [] };
  let offset: number | undefined;
  let beat: { arrival: number; hubTime: number } | undefined;
  let beaten = false;
  let jitter: number | undefined;
  let pings: boolean[] = []; // whether the last five failed

  let level = 2;
  let reasons: readonly Reason[] = [];
  let streak = 0; // evaluations in a row that were better, or below 0 worse
  let risen = -Infinity;
  let live = false;
  let lost: number | undefined; // when it was last live, or was first asked about
  let held: number | undefined = level; // the level that a planned end leaves, and that a first stream begins with
  let dead = false;
  let urgent = false;
  let shown = UNMEASURED;

  const see = (what: keyof typeof WINDOWS, ms = 0, offset = 0): void => {
    seen[what] = [...seen[what].slice(1 - KEPT), { at: clock.now(), ms, offset }];
  };
  const recent = (what: keyof typeof WINDOWS): number[] => seen[what].filter(({ at }) => clock.now() - at <= WINDOWS[what]).map(({ ms }) => ms);
  const part = (values: number[], share: number): number | undefined => values.sort((a, b) => a - b)[Math.ceil(values.length * share) - 1];
  const pinging = (failed: boolean): void => {
    pings = [...pings.slice(-4), failed];
  };

  return {
    pinged(sent, hubTime) {
      const now = clock.now();
      see("rtt", now - sent, hubTime - (sent + now) / 2);
      offset = seen.rtt.slice(-10).reduce((best, sample) => (sample.ms < best.ms ? sample : best)).offset;
      pinging(false);
    },
    pingFailed() {
      urgent ||= pings.at(-1) === true;
      pinging(true);
    },
    heartbeat(hubTime) {
      const arrival = clock.now();
      if (beat) jitter = (15 * (jitter ?? 0) + Math.abs(arrival - beat.arrival - (hubTime - beat.hubTime))) / 16;
      beat = { arrival, hubTime };
      beaten = true;
    },
    event(hubTime) {
      if (offset !== undefined) see("lag", Math.max(0, clock.now() + offset - hubTime));
    },
    missed: () => see("missed"),
    reset: () => see("resets"),
    up() {
      live = true;
      dead = false;
      beat = undefined; // two connections have no rhythm in common
      if (held !== undefined) [level, reasons] = [held, []];
      held = undefined;
    },
    down(how) {
      dead = how === "dead";
      if (!live) return;
      live = false;
      lost = clock.now();
      if (how === "planned") held = level;
      else see("drops");
    },
    evaluate() {
      const now = clock.now();
      const missed = recent("missed").length;
      const drops = recent("drops").length;
      const figures: Figures = {
        rtt: part(recent("rtt").slice(-5), 0.5),
        jitter,
        lag: part(recent("lag"), 0.95),
        missed,
        drops,
        resets: recent("resets").length,
        ping: pings.filter(Boolean).length,
      };
      const confident = seen.rtt.length > 1 && beaten;
      const { grade: all, reasons: why } = grade(figures);
      const measured = confident ? all : Math.min(2, all);
      if (live) {
        const way = Math.sign(measured - level);
        streak = streak * way > 0 ? streak + way : way;
        if (streak < -1 || (way < 0 && urgent)) level = measured;
        else if (streak > 2 && now - risen >= 15_000) {
          level++;
          streak = 0;
          risen = now;
        }
        if (level === measured) reasons = why;
      } else {
        streak = 0;
        lost ??= now;
        if (dead || now - lost >= 5_000) [level, reasons] = [0, ["disconnected"]];
      }
      urgent = false;
      const next = defined<Quality>({
        quality: LEVELS[level]!,
        confident,
        reasons,
        rttMs: round(figures.rtt),
        jitterMs: round(jitter),
        lagMs: round(figures.lag),
        missedHeartbeats: missed,
        drops,
        clockOffsetMs: round(offset),
      });
      if (JSON.stringify(next) !== JSON.stringify(shown)) shown = next;
      return shown;
    },
    level: () => level,
  };
}

const round = (ms: number | undefined): number | undefined => ms && Math.round(ms);

/** Returns the members that have a value. */
export function defined<Shape>(members: { [Name in keyof Shape]: Shape[Name] | undefined }): Shape {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Shape;
}
