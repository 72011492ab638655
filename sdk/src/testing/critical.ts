// Critical events: who must confirm each, who has, and what becomes of it in the end (docs/protocol.md §7).
import type { Clock, Timer } from "../core/clock.ts";
import { spellDuration, type Position } from "./grammar.ts";
import { addressed, subscribes, type Device, type Devices } from "./devices.ts";
import { spellTime, type Ack, type Log, type LogEvent } from "./log.ts";

/** What is known of a critical event and one device that it is for. Times are in milliseconds since 1970. */
export interface Receipt {
  readonly device: string;
  readonly user: string;
  written?: number;
  delivered?: number;
  confirmed?: number;
  late?: true;
  attempts: number;
}

export interface Critical {
  readonly event: LogEvent;
  readonly cursor: string;
  attempt: number;
  due: number;
  settlement?: "acknowledged" | "unacked";
  reason?: "attempts" | "ttl" | "retention" | "no-audience";
  settled?: number;
  /** Who must confirm, when it is by user. */
  readonly users: readonly string[];
  /** Sorted by device. */
  readonly receipts: readonly Receipt[];
}

/** A critical event as its publisher is told of it: the answer to GET /v1/events/{cursor}/receipts. */
export interface CriticalTold {
  readonly event: string;
  readonly topic: string;
  readonly type: string;
  readonly by?: string;
  readonly correlation?: string;
  readonly time: string;
  readonly ack: { readonly by: Ack["by"]; readonly within: string; readonly attempts: number };
  readonly attempt: number;
  /** When the next delivery is, or the end; absent once it is settled. */
  readonly due?: string;
  readonly settlement?: "acknowledged" | "unacked";
  readonly reason?: "attempts" | "ttl" | "retention" | "no-audience";
  readonly settled?: string;
  readonly users?: readonly string[];
  readonly receipts: readonly {
    readonly device: string;
    readonly user: string;
    readonly written?: string;
    readonly delivered?: string;
    readonly confirmed?: string;
    readonly late?: true;
    readonly attempts: number;
    readonly transport?: "sse";
  }[];
}

export type AckStatus = "confirmed" | "repeated" | "late" | "unknown";

/** How the hub speaks to those who are connected. */
export interface Voice {
  /** A control event for the streams of a user, or of one device of theirs. */
  control(user: string, device: string | undefined, type: string, data: object): void;
  /** An event once more, to the streams of a device. */
  again(device: string, event: LogEvent, attempt: number): void;
}

export interface Criticals {
  /** Begins the acknowledgement of an event that has its place; what nobody can confirm is given up at once. */
  open(event: LogEvent): void;
  /** What a device has still to confirm. */
  waiting(device: Device): Critical[];
  /** Takes what a device says. Throws not-found and forbidden. */
  acknowledge(name: string, user: string, delivered: Position | undefined, ids: readonly Position[]): { cursor: Position; statuses: AckStatus[] };
  /** The device could not be given what lies up to here. */
  skip(device: Device, offset: number): void;
  /** An event was written to the connection of a device. */
  wrote(device: string, user: string, offset: number): void;
  at(offset: number): Critical | undefined;
  /** Gives up what the log forgets. */
  trim(offset: number): void;
  lose(): void;
}

/** Two deliveries are at most so far apart, unless an event asks for more itself. */
const LONGEST = 600_000;
/** A device that was not heard of for so long is no target. */
const AGE = 24 * 3_600_000;

export function createCriticals(clock: Clock, wall: () => number, log: Log, devices: Devices, voice: Voice): Criticals {
  let all = new Map<number, Critical>();
  const timers = new Map<number, Timer>();

  const tell = ({ event, cursor }: Critical, news: object): void => {
    if (event.by === undefined) return;
    voice.control(event.by, undefined, "roxy:ack", { id: cursor, ...(event.correlation && { correlation: event.correlation }), ...news });
  };

  const wake = (critical: Critical): void => {
    const { offset } = critical.event;
    timers.set(offset, clock.set(() => advance(critical), Math.max(0, critical.due - wall())));
  };

  const advance = (critical: Critical): void => {
    const { event } = critical;
    const ack = event.ack!;
    const now = wall();
    if (now < critical.due) return wake(critical); // timers may be early by a fraction
    if (event.ttl !== undefined && now >= event.time + event.ttl) return giveUp(critical, "ttl");
    if (critical.attempt >= ack.attempts) return giveUp(critical, "attempts");
    const wait = Math.min(ack.within * 2 ** critical.attempt, Math.max(LONGEST, ack.within)); // the hub adds up to a fifth
    critical.attempt++;
    critical.due = Math.min(now + wait, event.ttl === undefined ? Infinity : event.time + event.ttl);
    wake(critical);
    for (const { device } of missing(critical)) voice.again(device, event, critical.attempt);
  };

  const giveUp = (critical: Critical, reason: NonNullable<Critical["reason"]>): void => {
    Object.assign(critical, { settlement: "unacked", reason, settled: wall() });
    clock.clear(timers.get(critical.event.offset));
    log.place({ topic: "roxy/dead-letters", type: "roxy:unacked", roles: [], users: [], data: JSON.stringify(deadLetter(critical)), correlation: critical.event.correlation });
    tell(critical, { settled: "unacked", reason, time: spellTime(critical.settled!) });
    log.flush();
  };

  /** The receipt of a device; undefined when the event is not for it. */
  const receiptOf = (offset: number, { name, user }: { name: string; user: string }): [Critical, Receipt] | undefined => {
    const critical = all.get(offset);
    const receipt = critical?.receipts.find((r) => r.device === name && r.user === user);
    return critical && receipt ? [critical, receipt] : undefined;
  };

  const deliver = (device: Device, to: number): void => {
    const from = device.cursor.epoch === log.epoch ? device.cursor.offset : 0;
    for (const { offset } of log.behind(Math.max(from, device.skipped <= to ? device.skipped : 0))) {
      const found = offset <= to ? receiptOf(offset, device) : undefined;
      if (!found) continue;
      const [critical, receipt] = found;
      if (receipt.delivered !== undefined || (receipt.attempts === 0 && !subscribes(device, critical.event.topic, critical.event.type))) continue;
      receipt.delivered = wall();
      tell(critical, { status: "delivered", device: receipt.device, user: receipt.user, time: spellTime(receipt.delivered) });
    }
  };

  const confirm = (device: Device, offset: number): AckStatus => {
    const found = receiptOf(offset, device);
    if (!found) return "unknown";
    const [critical, receipt] = found;
    if (receipt.confirmed !== undefined) return "repeated";
    const now = wall();
    receipt.confirmed = now;
    receipt.delivered ??= now;
    if (critical.settlement) receipt.late = true;
    const status = critical.settlement ? "late" : "confirmed";
    tell(critical, { status, device: receipt.device, user: receipt.user, time: spellTime(now) });
    if (critical.settlement || !complete(critical)) return status;
    Object.assign(critical, { settlement: "acknowledged", settled: now });
    clock.clear(timers.get(offset));
    tell(critical, { settled: "acknowledged", time: spellTime(now) });
    return status;
  };

  return {
    open(event) {
      const now = wall();
      const receipts = devices
        .all()
        .filter((device) => now - device.seen < AGE && addressed(device, event))
        .map(({ name, user }): Receipt => ({ device: name, user, attempts: 0 }));
      const users = event.ack!.by === "user" ? [...new Set([...event.users, ...receipts.map(({ user }) => user)])].sort() : [];
      const due = now + Math.min(event.ack!.within, event.ttl ?? Infinity);
      const critical: Critical = { event, cursor: log.cursor(event.offset), attempt: 1, due, users, receipts };
      all.set(event.offset, critical);
      if (receipts.length === 0) giveUp(critical, "no-audience");
      else wake(critical);
    },
    waiting: (device) => [...all.values()].filter((critical) => missing(critical).some((r) => r.device === device.name && r.user === device.user)),
    acknowledge(name, user, delivered, ids) {
      const device = devices.of(name, user);
      if (delivered && log.holds(delivered) && (device.cursor.epoch !== log.epoch || device.cursor.offset < delivered.offset)) {
        if (device.patterns.length > 0) deliver(device, delivered.offset);
        device.cursor = delivered;
        if (device.skipped <= delivered.offset) device.skipped = 0;
      }
      device.seen = wall();
      const statuses = ids.map(({ epoch, offset }) => (epoch === log.epoch ? confirm(device, offset) : "unknown"));
      return { cursor: device.cursor, statuses };
    },
    skip(device, offset) {
      device.skipped = Math.max(device.skipped, offset);
    },
    wrote(name, user, offset) {
      const [, receipt] = receiptOf(offset, { name, user }) ?? [];
      if (!receipt) return;
      receipt.written = wall();
      receipt.attempts++;
    },
    at: (offset) => all.get(offset),
    trim(offset) {
      for (const critical of [...all.values()].filter(({ event }) => event.offset <= offset)) {
        if (!critical.settlement) giveUp(critical, "retention");
        all.delete(critical.event.offset);
      }
    },
    lose() {
      for (const timer of timers.values()) clock.clear(timer);
      timers.clear();
      all = new Map();
    },
  };
}

/** The receipts whose confirmation would still count. */
function missing({ event, settlement, receipts }: Critical): Receipt[] {
  if (settlement) return [];
  const done = (user: string): boolean => event.ack!.by === "user" && receipts.some((r) => r.user === user && r.confirmed !== undefined);
  return receipts.filter((r) => r.confirmed === undefined && !done(r.user));
}

function complete({ event, users, receipts }: Critical): boolean {
  const confirmed = (r: Receipt): boolean => r.confirmed !== undefined && !r.late;
  switch (event.ack!.by) {
    case "any":
      return receipts.some(confirmed);
    case "user":
      return users.every((user) => receipts.some((r) => r.user === user && confirmed(r)));
    case "device":
      return receipts.every(confirmed);
  }
}

/** The data of a roxy:unacked event. */
function deadLetter({ event, cursor, attempt, reason, receipts, users }: Critical): object {
  const named = (r: Receipt): object => ({ device: r.device, user: r.user });
  const absent = users.filter((user) => !receipts.some((r) => r.user === user)).map((user) => ({ user }));
  return {
    event: cursor,
    topic: event.topic,
    type: event.type,
    ...(event.by && { by: event.by }),
    time: spellTime(event.time),
    ack: spellAck(event),
    reason,
    attempt,
    targets: receipts.length,
    confirmed: receipts.filter((r) => r.confirmed !== undefined).slice(0, 100).map(named),
    unconfirmed: [...receipts.filter((r) => r.confirmed === undefined).map(named), ...absent].slice(0, 100),
  };
}

const spellAck = ({ ack }: LogEvent): CriticalTold["ack"] => ({ by: ack!.by, within: spellDuration(ack!.within), attempts: ack!.attempts });

/** Tells a critical event. */
export function toldCritical({ event, cursor, attempt, due, settlement, reason, settled, users, receipts }: Critical): CriticalTold {
  return {
    event: cursor,
    topic: event.topic,
    type: event.type,
    ...(event.by !== undefined && { by: event.by }),
    ...(event.correlation && { correlation: event.correlation }),
    time: spellTime(event.time),
    ack: spellAck(event),
    attempt,
    ...(settlement ? { settlement } : { due: spellTime(due) }),
    ...(reason && { reason }),
    ...(settled !== undefined && { settled: spellTime(settled) }),
    ...(users.length > 0 && { users }),
    receipts: receipts.map(({ device, user, written, delivered, confirmed, late, attempts }) => ({
      device,
      user,
      ...(written !== undefined && { written: spellTime(written) }),
      ...(delivered !== undefined && { delivered: spellTime(delivered) }),
      ...(confirmed !== undefined && { confirmed: spellTime(confirmed) }),
      ...(late && { late }),
      attempts,
      ...(attempts > 0 && { transport: "sse" }),
    })),
  };
}
