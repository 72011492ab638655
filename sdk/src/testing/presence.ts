// Presence: who has a live stream, or had one within the grace (docs/protocol.md §9).
import type { Clock, Timer } from "../core/clock.ts";
import { contains } from "./grammar.ts";
import { spellTime } from "./log.ts";

/** Changes within so many milliseconds are told at once. */
const WINDOW = 100;
/** Devices that one roxy:presence names at most. */
const PART = 200;

/** One stream, from its hello until the grace behind its end. */
export interface Visit {
  readonly patterns: readonly string[];
  gone: boolean;
}

interface Attendant {
  readonly user: string;
  readonly device: string | undefined;
  since: number;
  until: number;
  visits: Visit[];
  /** Watchers know it as present. */
  told: boolean;
}

export interface PresentUser {
  readonly user: string;
  readonly devices: readonly { readonly device?: string; readonly since: string; readonly connected: boolean; readonly transport?: "sse" }[];
}

export interface Presence {
  arrive(user: string, device: string | undefined, patterns: readonly string[]): Visit;
  depart(visit: Visit): void;
  /** Tells hear the list, and each change, as data of roxy:presence, until the function that it returns is called. */
  watch(hear: (data: object) => void): () => void;
  /** Who is present, sorted; with a topic, only who hears it. */
  users(topic?: string): PresentUser[];
  /** Until when who was here before the hub began may not be back. */
  settles(): { settles?: string };
  /** Nobody is here, as after a start. */
  begin(): void;
}

/** grace is in milliseconds. */
export function createPresence(clock: Clock, wall: () => number, grace: number): Presence {
  let all: Attendant[] = [];
  let watchers: ((data: object) => void)[] = [];
  let window: Timer | undefined;
  let settled = wall() + grace;
  const graces = new Set<Timer>();

  const present = ({ visits }: Attendant): boolean => visits.length > 0;
  const named = ({ user, device }: Attendant): { user: string; device?: string } => ({ user, ...(device !== undefined && { device }) });
  const settles = (): { settles?: string } => (wall() < settled ? { settles: spellTime(settled) } : {});
  const changed = (): void => {
    window ??= clock.set(flush, WINDOW);
  };

  const flush = (): void => {
    window = undefined;
    const others = (a: Attendant): number => all.filter((o) => o !== a && o.user === a.user && o.told).length;
    const joined: object[] = [];
    const left: object[] = [];
    for (const a of all) {
      if (!present(a) || a.told) continue;
      joined.push({ ...named(a), since: spellTime(a.since), others: others(a) });
      a.told = true;
    }
    for (const a of all) {
      if (present(a) || !a.told) continue;
      a.told = false;
      left.push({ ...named(a), until: spellTime(a.until), others: others(a) });
    }
    all = all.filter(present);
    while (joined.length + left.length > 0) {
      const now = joined.splice(0, PART);
      const change = { joined: now, left: left.splice(0, PART - now.length) };
      for (const hear of watchers) hear(change);
    }
  };

  return {
    arrive(user, device, patterns) {
      let a = all.find((o) => o.user === user && o.device === device);
      if (!a) all.push((a = { user, device, since: wall(), until: 0, visits: [], told: false }));
      const visit: Visit = { patterns, gone: false };
      a.visits.push(visit);
      changed();
      return visit;
    },
    depart(visit) {
      const a = all.find(({ visits }) => visits.includes(visit));
      if (!a) return;
      visit.gone = true;
      a.until = wall();
      const over = clock.set(() => {
        graces.delete(over);
        a.visits = a.visits.filter((v) => v !== visit);
        changed();
      }, grace);
      graces.add(over);
    },
    watch(hear) {
      if (watchers.length === 0) {
        all = all.filter(present);
        for (const a of all) a.told = true;
      }
      const list = all.filter(({ told }) => told).map((a) => ({ ...named(a), since: spellTime(a.since) }));
      const parts = Math.max(1, Math.ceil(list.length / PART));
      for (let part = 1; part <= parts; part++) hear({ present: list.slice((part - 1) * PART, part * PART), part, parts, ...settles() });
      watchers.push(hear);
      return () => {
        watchers = watchers.filter((w) => w !== hear);
      };
    },
    users(topic) {
      const users = new Map<string, PresentUser["devices"][number][]>();
      for (const a of [...all].sort((x, y) => ((x.device ?? "") < (y.device ?? "") ? -1 : 1))) {
        const heard = a.visits.filter(({ patterns }) => topic === undefined || patterns.some((pattern) => contains(pattern, topic)));
        if (heard.length === 0) continue;
        const connected = heard.some(({ gone }) => !gone);
        const { device } = named(a);
        const told = { ...(device !== undefined && { device }), since: spellTime(a.since), connected, ...(connected && { transport: "sse" as const }) };
        users.set(a.user, [...(users.get(a.user) ?? []), told]);
      }
      return [...users].sort(([x], [y]) => (x < y ? -1 : 1)).map(([user, devices]) => ({ user, devices }));
    },
    settles,
    begin() {
      for (const timer of [...graces, window]) clock.clear(timer);
      graces.clear();
      window = undefined;
      all = [];
      settled = wall() + grace;
    },
  };
}
