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
export function grade(figures: Figures): { grade: number; reasons: Reason[] } {
  let worst = 3;
  let reasons: Reason[] = [];
  for (const [name, bounds] of Object.entries(BOUNDS) as [keyof Figures, readonly number[]][]) {
    const at = 3 - bounds.filter((bound) => (figures[name] ?? 0) > bound).length;
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

/** So many of each figure's samples are remembered. */
const KEPT = 100;

/** What a client shows that has not connected yet. */
export const UNMEASURED: Quality = { quality: "good", confident: false, reasons: [], missedHeartbeats: 0, drops: 0 };

export function createGauge(clock: Clock): Gauge {
  type Sample = { readonly at: number; readonly ms: number };
  const seen: { [What in "rtt" | "lag" | "missed" | "drops" | "resets" | "ping"]?: readonly Sample[] } = {};
  let offsets: Sample[] = []; // of the hub's clock, by their round trips
  let offset: number | undefined;
  let beat: number | undefined; // how much later than the hub's time the last heartbeat came
  let jitter: number | undefined;

  let level = 2;
  let reasons: readonly Reason[] = [];
  let streak = 0; // evaluations in a row that were better, or below 0 worse
  let risen = -Infinity;
  let live = false;
  let ended: Down = "planned"; // how the last stream did; a first one begins as if there had been one
  let lost: number | undefined; // when it was last live, or was first asked about
  let urgent = false;
  let shown = UNMEASURED;

  const see = (what: keyof typeof seen, ms = 1): void => {
    seen[what] = [...(seen[what] ?? []), { at: clock.now(), ms }].slice(-KEPT);
  };
  const recent = (what: keyof typeof seen, minutes: number): number[] =>
    (seen[what] ?? []).filter(({ at }) => clock.now() - at <= minutes * 60_000).map(({ ms }) => ms);
  const part = (values: number[], share: number): number | undefined => values.sort((a, b) => a - b)[Math.ceil(values.length * share) - 1];

  return {
    pinged(sent, hubTime) {
      const ms = clock.now() - sent;
      see("rtt", ms);
      see("ping", 0);
      offsets = [...offsets, { at: hubTime - sent - ms / 2, ms }].slice(-10);
      offset = offsets.reduce((best, sample) => (sample.ms < best.ms ? sample : best)).at;
    },
    pingFailed() {
      urgent ||= recent("ping", 3).at(-1) === 1;
      see("ping");
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
    missed: () => see("missed"),
    reset: () => see("resets"),
    up() {
      live = true;
      beat = undefined; // two connections have no rhythm in common
    },
    down(how) {
      if (live && how !== "planned") see("drops");
      if (live) lost = clock.now();
      live = false;
      ended = how;
    },
    evaluate() {
      const now = clock.now();
      const figures: Figures = {
        rtt: part(recent("rtt", 3).slice(-5), 0.5),
        jitter,
        lag: part(recent("lag", 1).slice(-20), 0.95),
        missed: recent("missed", 5).length,
        drops: recent("drops", 5).length,
        resets: recent("resets", 10).length,
        ping: recent("ping", 3).slice(-5).filter(Boolean).length,
      };
      const confident = offsets.length > 1 && jitter !== undefined;
      const { grade: all, reasons: why } = grade(figures);
      const measured = confident ? all : Math.min(2, all);
      const cut = !live && (ended === "dead" || now - (lost ??= now) >= 5_000);
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
        if (cut && ended !== "planned") level = 0; // and then climbs; what ended by plan goes on where it was
      }
      urgent = false;
      const round = (ms: number | undefined): number | undefined => ms && Math.round(ms);
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
