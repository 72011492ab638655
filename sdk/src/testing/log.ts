// The log: all durable events in one order (docs/protocol.md §1), and how an event is spelled on a stream (§4).
import type { Json } from "../store/json.ts";
import type { Position } from "./grammar.ts";

/** Who must confirm a critical event. */
export interface Ack {
  readonly by: "any" | "user" | "device";
  /** In milliseconds. */
  readonly within: number;
  readonly attempts: number;
}

/** What became of an entity by one commit. */
export interface EntityChange {
  readonly op: "put" | "patch" | "delete";
  readonly version: number;
  readonly patch?: Readonly<Record<string, Json>>;
  readonly mutation?: string;
}

/** An event that is to be committed. */
export interface Draft {
  readonly topic: string;
  readonly type: string;
  /** JSON as it came; undefined for none. */
  readonly data?: string | undefined;
  readonly roles: readonly string[];
  readonly users: readonly string[];
  readonly by?: string | undefined;
  readonly id?: string | undefined;
  /** In milliseconds. */
  readonly ttl?: number | undefined;
  readonly correlation?: string | undefined;
  readonly except?: string | undefined;
  readonly traceparent?: string | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly urgent?: boolean | undefined;
  readonly ack?: Ack | undefined;
  readonly change?: EntityChange | undefined;
}

/** An event as it was taken. */
export interface LogEvent extends Draft {
  /** 0 for an ephemeral one. */
  readonly offset: number;
  /** In milliseconds since 1970. */
  readonly time: number;
}

/** One life of the log at a time. */
export interface Log {
  readonly epoch: string;
  /** The newest offset; 0 when there is none. */
  readonly head: number;
  /** The oldest offset that is retained, or the next one. */
  readonly first: number;
  /** Gives an event its place. Nobody hears of it before flush. */
  place(draft: Draft): LogEvent;
  /** Tells of what was placed, in order. */
  flush(): void;
  /** What is retained behind an offset. */
  behind(offset: number): readonly LogEvent[];
  at(offset: number): LogEvent | undefined;
  cursor(offset: number): string;
  /** Whether a position lies in this life of the log. */
  holds(position: Position): boolean;
  /** Forgets everything up to an offset, as retention does. */
  trim(offset: number): void;
  /** Begins anew, empty. */
  lose(): void;
}

/** heard is told of each event once it is committed. */
export function createLog(wall: () => number, heard: (event: LogEvent) => void): Log {
  let life = 1;
  let events: LogEvent[] = [];
  let first = 1;
  let told = 0;
  let last = 0;
  const self: Log = {
    get epoch() {
      return `test${life}`;
    },
    get head() {
      return first + events.length - 1;
    },
    get first() {
      return first;
    },
    place(draft) {
      last = Math.max(last, wall());
      const event = { ...draft, offset: self.head + 1, time: last };
      events.push(event);
      return event;
    },
    flush() {
      while (told < self.head) heard(self.at(++told)!);
    },
    behind: (offset) => events.slice(Math.max(0, offset - first + 1)),
    at: (offset) => events[offset - first],
    cursor: (offset) => `${self.epoch}.${offset}`,
    holds: ({ epoch, offset }) => epoch === self.epoch && offset <= self.head,
    trim(offset) {
      events = events.slice(Math.max(0, offset - first + 1));
      first = Math.max(first, offset + 1);
    },
    lose() {
      life++;
      events = [];
      first = 1;
      told = last = 0;
    },
  };
  return self;
}

/** Spells a time of the wire. */
export const spellTime = (ms: number): string => new Date(ms).toISOString();

export function isExpired(event: LogEvent, now: number): boolean {
  return event.ttl !== undefined && now > event.time + event.ttl;
}

/** Whether somebody belongs to an event's audience. */
export function includes(event: Draft, user: string, roles: readonly string[]): boolean {
  if (event.roles.length === 0 && event.users.length === 0) return true;
  return event.users.includes(user) || event.roles.some((role) => roles.includes(role));
}

/** Returns the JSON that carries an event, in its attempt-th delivery. */
export function envelope(event: LogEvent, cursor: string, attempt = 1): string {
  const { topic, by, correlation, traceparent, ack, change } = event;
  const head = {
    topic,
    time: spellTime(event.time),
    ...(by && { by }),
    ...(correlation && { correlation }),
    ...(traceparent && { traceparent }),
    ...(ack && { ack: { id: cursor, by: ack.by }, attempt }),
  };
  if (!change) return `${JSON.stringify(head).slice(0, -1)},"data":${event.data ?? "null"}}`;
  const { op, version, patch, mutation } = change;
  return JSON.stringify({ ...head, op, version, base: version - 1, ...(op !== "delete" && { patch: patch ?? {} }), ...(mutation && { mutation }) });
}
