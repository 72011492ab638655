// Streams: what a subscriber is given, in which order (docs/protocol.md §4).
import type { Clock, Timer } from "../core/clock.ts";
import type { Criticals, Voice } from "./critical.ts";
import type { Device, Devices } from "./devices.ts";
import { toldEntity, type Entities } from "./entities.ts";
import { contains, spellDuration, type Position } from "./grammar.ts";
import { mayRead, type Identity } from "./identity.ts";
import { envelope, includes, isExpired, spellTime, type Log, type LogEvent } from "./log.ts";
import { createPipe, type Pipe } from "./pipe.ts";
import type { Presence, Visit } from "./presence.ts";
import { refusal } from "./problem.ts";

/** What a stream asks for. */
export interface Subscription {
  readonly identity: Identity;
  readonly patterns: readonly string[];
  readonly types: readonly string[];
  readonly after?: Position | undefined;
  readonly earliest: boolean;
  readonly snapshot: boolean;
  readonly device?: string | undefined;
  /** In milliseconds. */
  readonly heartbeat: number;
}

export type Bye = "drain" | "token-expired" | "revoked" | "slow" | "replaced" | "overload";

/** A live stream. */
export interface Stream {
  readonly connection: string;
  readonly sub: Subscription;
  readonly since: number;
  readonly pipe: Pipe;
  /** Says why, and ends it. */
  bye(reason: Bye): void;
  /** The connection breaks, without a word. */
  cut(): void;
  /** Goes on under a fresh token. */
  refresh(identity: Identity): void;
}

export interface Streams extends Voice {
  /** Begins a stream. Throws its refusal; then nothing was written. */
  open(sub: Subscription): Stream;
  /** Gives an event to whom it is for. */
  event(event: LogEvent): void;
  live(): readonly Stream[];
}

export interface StreamParts {
  readonly clock: Clock;
  readonly wall: () => number;
  readonly log: Log;
  readonly entities: Entities;
  readonly devices: Devices;
  readonly criticals: Criticals;
  readonly presence: Presence;
  /** What a mailbox holds: so many events, so old in milliseconds. */
  readonly mailbox: { readonly events: number; readonly age: number };
}

/** The lower ends of what the hub asks to wait, in milliseconds: its own waits are jittered. */
const RETRY = 1_000;
const REPLACED = 300_000;
/** After so long without a sign the hub takes a half-open connection for dead. */
const STALLED = 30_000;

export function createStreams(parts: StreamParts): Streams {
  const { clock, wall, log, entities, devices, criticals, presence, mailbox } = parts;
  const live = new Map<string, Stream & { give(event: LogEvent, id: boolean, attempt: number): void; control(type: string, data: object): void }>();
  let made = 0;

  const takes = ({ identity, device, ...sub }: Subscription, event: LogEvent): boolean =>
    sub.patterns.some((pattern) => contains(pattern, event.topic)) &&
    (sub.types.length === 0 || sub.types.includes(event.type)) &&
    includes(event, identity.user, identity.roles) &&
    (event.except === undefined || event.except !== device);

  interface Start {
    readonly offset: number;
    readonly reset?: "epoch" | "retention" | "overflow";
    readonly snapshot: boolean;
    readonly asked?: Position;
  }

  const startOf = (sub: Subscription, device: Device | undefined): Start => {
    const { head, first, epoch } = log;
    if (sub.earliest) return { offset: first - 1, snapshot: false };
    const asked = sub.after ?? device?.cursor; // a device that kept nothing is given what is and what waited for it
    if (!asked) return { offset: head, snapshot: sub.snapshot };
    const late = { offset: head, snapshot: sub.snapshot, asked };
    if (asked.epoch !== epoch || asked.offset > head) return { ...late, reset: "epoch" };
    if (asked.offset + 1 < first) return { ...late, reset: "retention" };
    if (device) {
      const waiting = log.behind(asked.offset).filter((event) => takes(sub, event) && !isExpired(event, wall()));
      if (waiting.length > mailbox.events || (waiting[0] && wall() - waiting[0].time > mailbox.age)) return { ...late, reset: "overflow" };
    }
    return { offset: asked.offset, snapshot: sub.after ? false : sub.snapshot, asked };
  };

  const open = (asked: Subscription): Stream => {
    const { identity } = asked;
    for (const pattern of asked.patterns) {
      if (!mayRead(identity, pattern)) {
        throw refusal("forbidden", `pattern ${JSON.stringify(pattern)} lies outside what ${JSON.stringify(identity.user)} may read`, { member: "topic" });
      }
    }
    const sub = { ...asked, patterns: [...new Set(asked.patterns)].sort(), types: [...new Set(asked.types)].sort() };
    const { user, roles } = identity;
    const device = sub.device === undefined ? undefined : devices.register({ name: sub.device, user, roles, patterns: sub.patterns, types: sub.types });
    if (device && sub.after) criticals.acknowledge(device.name, user, sub.after, []);
    const start = startOf(sub, device);
    for (const other of [...live.values()]) if (device && other.sub.device === device.name) other.bye("replaced");

    const connection = `connection-${++made}`;
    let over = false;
    let visit: Visit | undefined;
    let unwatch: (() => void) | undefined;
    let expires = identity.expires;
    let beat: Timer;
    let expiry: Timer;
    let stall: Timer;
    let lastWrite = clock.now();
    let sent = start.offset;
    let whole = !start.snapshot; // it holds all up to sent

    const finish = (): void => {
      if (over) return;
      over = true;
      for (const timer of [beat, expiry, stall]) clock.clear(timer);
      live.delete(connection);
      unwatch?.();
      if (visit) presence.depart(visit);
    };
    const pipe = createPipe(() => {
      // A broken network does not tell the hub that the client is gone, either.
      if (pipe.frozen) stall = clock.set(finish, STALLED);
      else finish();
    });
    const write = (text: string): void => {
      lastWrite = clock.now();
      pipe.write(text);
    };
    const idOf = (): string => (whole ? `id: ${log.cursor(sent)}\n` : "");
    const control = (type: string, data: object, id = "", retry?: number): void =>
      write(`${id}${retry === undefined ? "" : `retry: ${retry}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    const give = (event: LogEvent, id: boolean, attempt: number): void => {
      const cursor = log.cursor(event.offset);
      const type = event.type === "message" ? "" : `event: ${event.type}\n`;
      write(`${id && event.offset > 0 ? `id: ${cursor}\n` : ""}${type}data: ${envelope(event, cursor, attempt)}\n\n`);
      if (event.ack && device) criticals.wrote(device.name, user, event.offset);
    };
    const due = (): void => {
      const wait = sub.heartbeat - (clock.now() - lastWrite);
      if (wait <= 0) {
        sent = log.head; // what was not given up to here is not for it
        control("roxy:heartbeat", { time: spellTime(wall()), cursor: log.cursor(sent) }, idOf());
      }
      beat = clock.set(due, wait > 0 ? wait : sub.heartbeat);
    };
    const watchExpiry = (): void => {
      const left = expires - wall();
      if (left <= 0) return self.bye("token-expired");
      expiry = clock.set(watchExpiry, Math.min(left, 2 ** 31 - 1));
    };

    const self = {
      connection,
      sub,
      since: wall(),
      pipe,
      give(event: LogEvent, id: boolean, attempt: number): void {
        if (takes(sub, event) && !isExpired(event, wall())) give(event, id, attempt);
        if (event.offset > 0 && id) sent = event.offset;
      },
      control: (type: string, data: object): void => control(type, data),
      bye(reason: Bye): void {
        const retry = reason === "replaced" ? REPLACED : RETRY;
        control("roxy:bye", { reason, retry }, "", retry);
        pipe.end();
        finish();
      },
      cut(): void {
        pipe.cut();
        finish();
      },
      refresh(fresh: Identity): void {
        expires = fresh.expires;
        clock.clear(expiry);
        watchExpiry();
      },
    };

    visit = presence.arrive(user, sub.device, sub.patterns);
    const at = start.reset ? start.asked && `${start.asked.epoch}.${start.asked.offset}` : whole ? log.cursor(sent) : undefined;
    const hello = {
      connection,
      ...(device && { device: device.name }),
      ...(at !== undefined && { cursor: at }),
      view: "test",
      epoch: log.epoch,
      heartbeat: spellDuration(sub.heartbeat),
      time: spellTime(wall()),
      retry: RETRY,
    };
    control("roxy:hello", hello, start.reset ? "" : idOf(), RETRY);
    if (start.reset) {
      if (device) criticals.skip(device, start.offset);
      control("roxy:reset", { reason: start.reset, cursor: log.cursor(start.offset) }, idOf());
    }
    for (const { event, attempt } of device ? criticals.waiting(device) : []) {
      if (takes(sub, event) && !isExpired(event, wall())) give(event, false, attempt);
    }
    let told: number | undefined;
    if (start.snapshot) {
      const all = entities.matching(sub.patterns);
      for (const { topic, version, time, data } of all.map(toldEntity)) control("roxy:entity", { topic, version, time, data });
      told = all.length;
      whole = true;
    }
    let replayed = 0;
    for (const event of log.behind(sent)) {
      if (takes(sub, event) && !isExpired(event, wall())) {
        give(event, true, 1);
        replayed++;
      }
      sent = event.offset;
    }
    control("roxy:live", { cursor: log.cursor(sent), replayed, ...(told !== undefined && { entities: told }) }, idOf());
    const hears = sub.patterns.some((pattern) => contains(pattern, "roxy/presence"));
    if (hears && (sub.types.length === 0 || sub.types.includes("roxy:presence"))) unwatch = presence.watch((data) => control("roxy:presence", data));
    live.set(connection, self);
    beat = clock.set(due, sub.heartbeat);
    watchExpiry();
    return self;
  };

  return {
    open,
    event(event) {
      for (const stream of [...live.values()]) stream.give(event, true, 1);
    },
    live: () => [...live.values()],
    control(user, device, type, data) {
      for (const { sub, control } of [...live.values()]) {
        if (sub.identity.user === user && (device === undefined || sub.device === device)) control(type, data);
      }
    },
    again(device, event, attempt) {
      for (const stream of [...live.values()]) if (stream.sub.device === device) stream.give(event, false, attempt);
    },
  };
}
