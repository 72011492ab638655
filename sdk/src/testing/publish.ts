// Publishing (docs/protocol.md §3): how a body is read, what is refused, and what a repeated key gets.
import { RoxyProblem } from "../core/problem.ts";
import { byteLength } from "./bytes.ts";
import { readBody, type Body, type Node, type Read } from "./body.ts";
import type { Criticals } from "./critical.ts";
import { deviceFault, reserved, spellDuration } from "./grammar.ts";
import { mayPublish, type Identity } from "./identity.ts";
import type { Ack, Draft, Log, LogEvent } from "./log.ts";
import { altered, refusal } from "./problem.ts";

/** The hub's answer for one event. */
export interface PublishedEvent {
  readonly id?: string;
  readonly offset?: number;
  readonly cursor?: string;
  readonly duplicate?: boolean;
  readonly ephemeral?: boolean;
}

export interface PublishedEvents {
  readonly epoch?: string;
  readonly events: PublishedEvent[];
}

/** What a request has besides its body. */
export interface Labels {
  /** Of the header Idempotency-Key. */
  readonly key?: string | undefined;
  readonly traceparent?: string | undefined;
}

export interface Publishing {
  /** Publishes a body. Throws the hub's refusals. */
  publish(identity: Identity, text: string, labels: Labels): PublishedEvents;
  lose(): void;
}

export interface PublishParts {
  readonly log: Log;
  readonly wall: () => number;
  readonly criticals: Criticals;
  readonly maxBytes: number;
  /** Gives an ephemeral event to whoever listens. */
  signal(event: LogEvent): void;
}

/** How long keys and results are kept, in milliseconds. */
export const KEPT: number = 24 * 3_600_000;
/** Events or mutations of one call. */
export const BATCH: number = 1_000;

type Asked = Omit<Draft, "by">;

export function createPublishing({ log, wall, criticals, maxBytes, signal }: PublishParts): Publishing {
  const keys = new Map<string, { readonly print: string; readonly offset: number; readonly time: number }>();

  const check = (identity: Identity, event: Asked): void => {
    const invalid = (member: string, why: string): RoxyProblem => refusal("invalid-event", `${member}: ${why}`, { member });
    const { topic, type, except, ack } = event;
    if (topic === "") throw refusal("invalid-topic", "topic is required", { member: "topic" });
    if (reserved(topic)) throw refusal("invalid-topic", `topic ${JSON.stringify(topic)}: roxy/ is reserved for the hub`, { member: "topic" });
    if (type.startsWith("roxy:")) throw invalid("type", `${JSON.stringify(type)}: types that begin with roxy: are the hub's`);
    if (ack) checkAck(ack, event.ephemeral === true, invalid);
    if (except !== undefined && deviceFault(except) !== undefined) throw invalid("except", deviceFault(except)!);
    const size = sizeOf(event);
    if (size > maxBytes) throw refusal("too-large", `the event takes ${size} bytes, at most ${maxBytes}`, { member: "data" });
    if (!mayPublish(identity, topic)) {
      throw refusal("forbidden", `topic ${JSON.stringify(topic)} lies outside what ${JSON.stringify(identity.user)} may publish`, { member: "topic" });
    }
  };

  /** Returns where each event stood before, for those that are repeated; throws for a key that another event had. */
  const repeated = (drafts: readonly Draft[]): (number | undefined)[] => {
    const added = new Map<string, { print: string; offset: number }>();
    let next = log.head;
    return drafts.map((draft, i) => {
      if (draft.ephemeral) return undefined;
      if (draft.id === undefined) {
        next++;
        return undefined;
      }
      const scope = `${draft.by}\n${draft.id}`;
      const kept = keys.get(scope);
      const known = added.get(scope) ?? (kept && wall() - kept.time < KEPT ? kept : undefined);
      const print = printOf(draft);
      if (known && known.print !== print) {
        throw within(i, drafts.length, refusal("key-reused", "the idempotency key was used for another event before", { member: "id" }));
      }
      if (known) return known.offset;
      added.set(scope, { print, offset: ++next });
      return undefined;
    });
  };

  const commit = (drafts: readonly Draft[]): PublishedEvents => {
    const before = repeated(drafts);
    const placed = drafts.map((draft, i) => (before[i] !== undefined || draft.ephemeral ? undefined : log.place(draft)));
    for (const event of placed) {
      if (event?.id !== undefined) keys.set(`${event.by}\n${event.id}`, { print: printOf(event), offset: event.offset, time: event.time });
    }
    for (const event of placed) if (event?.ack) criticals.open(event); // behind all of them: a dead letter takes the next place
    log.flush();
    const events = drafts.map((draft, i): PublishedEvent => {
      if (draft.ephemeral) {
        signal({ ...draft, offset: 0, time: wall() });
        return { ...(draft.id !== undefined && { id: draft.id }), ephemeral: true };
      }
      const offset = before[i] ?? placed[i]!.offset;
      const cursor = log.cursor(offset);
      return { id: draft.id ?? cursor, offset, cursor, duplicate: before[i] !== undefined };
    });
    return drafts.every(({ ephemeral }) => ephemeral) ? { events } : { epoch: log.epoch, events };
  };

  return {
    publish(identity, text, { key, traceparent }) {
      const { events, array } = readEvents(text);
      if (key !== undefined) {
        const wrong = (why: string): RoxyProblem => refusal("invalid-parameter", `header Idempotency-Key: ${why}`, { member: "Idempotency-Key" });
        if (array) throw wrong("it goes with a single event; in an array each event has its own id");
        if (events[0]!.id !== undefined && events[0]!.id !== key) throw wrong("differs from the event's id");
        events[0] = { ...events[0]!, id: key };
      }
      try {
        events.forEach((event, i) => {
          try {
            check(identity, event);
          } catch (error) {
            throw within(i, events.length, error);
          }
        });
        return commit(events.map((event) => ({ ...event, by: identity.user, traceparent: event.traceparent ?? traceparent })));
      } catch (error) {
        throw inArray(error, array);
      }
    },
    lose: () => keys.clear(),
  };
}

/** Puts the index of what is at fault before a problem's member, when there are several. */
export function within(i: number, n: number, error: unknown): unknown {
  if (n === 1 || !(error instanceof RoxyProblem)) return error;
  const member = error.members["member"];
  return altered(error, { member: member === undefined ? `[${i}]` : `[${i}].${String(member)}` });
}

/** Makes the refusal of what came in an array, if only of one, name its place. */
export function inArray(error: unknown, array: boolean): unknown {
  if (!array || !(error instanceof RoxyProblem)) return error;
  const member = error.members["member"];
  return typeof member === "string" && !member.startsWith("[") ? altered(error, { member: `[0].${member}` }) : error;
}

function checkAck(ack: Ack, ephemeral: boolean, invalid: (member: string, why: string) => RoxyProblem): void {
  if (!["any", "user", "device"].includes(ack.by)) throw invalid("ack.by", `${JSON.stringify(ack.by)} is none of any, user and device`);
  if (ack.within < 1_000 || ack.within > 3_600_000) throw invalid("ack.within", `${spellDuration(ack.within)}, want 1s–1h0m0s`);
  if (ack.attempts < 1 || ack.attempts > 20) throw invalid("ack.attempts", `${ack.attempts}, want 1–20`);
  if (ephemeral) throw invalid("ack", "an ephemeral event is in no log, and so cannot be delivered again");
}

function sizeOf({ topic, type, data, id, correlation, except, roles, users }: Asked): number {
  return [topic, type, data, id, correlation, except, ...roles, ...users].reduce((sum, text) => sum + byteLength(text ?? ""), 0);
}

/** What tells apart two events with one key: all that the publisher set but for the trace. */
function printOf({ topic, type, data, correlation, except, ttl, urgent, ack, roles, users }: Draft): string {
  return JSON.stringify([topic, type, data, correlation, except, ttl, urgent ?? false, ack, roles, users]);
}

function readEvents(text: string): { events: Asked[]; array: boolean } {
  const body = readBody(text, "invalid-event");
  const { root } = body;
  if (root.kind === "array") return { array: true, events: body.array(root, "", BATCH, "event", (node, path) => readEvent(body, node, path)) };
  return { array: false, events: [readEvent(body, root, "")] };
}

function readEvent(body: Body, node: Node, path: string): Asked {
  const event: { -readonly [Member in keyof Asked]: Asked[Member] } = { topic: "", type: "message", roles: [], users: [] };
  const readers: Record<string, Read> = {
    topic: (value, at) => (event.topic = body.topic(value, at)),
    type: (value, at) => (event.type = body.name(value, at)),
    data: (value, at) => (event.data = body.data(value, at)),
    to: (value, at) => Object.assign(event, readAudience(body, value, at)),
    id: (value, at) => (event.id = body.name(value, at)),
    ttl: (value, at) => (event.ttl = body.duration(value, at)),
    ack: (value, at) => (event.ack = readAck(body, value, at)),
    correlation: (value, at) => (event.correlation = body.name(value, at)),
    except: (value, at) => (event.except = body.name(value, at)),
    ephemeral: (value, at) => (event.ephemeral = body.boolean(value, at)),
    urgent: (value, at) => (event.urgent = body.boolean(value, at)),
  };
  const what = path === "" ? "an event or an array of events" : "an event";
  body.object(node, path, what, readers, "an event has the members topic, type, data, to, id, ttl, ack, correlation, except, ephemeral and urgent");
  return event;
}

function readAudience(body: Body, node: Node, path: string): { roles: string[]; users: string[] } {
  const to: { roles: string[]; users: string[] } = { roles: [], users: [] };
  const sorted = (names: string[]): string[] => [...new Set(names)].sort();
  const readers: Record<string, Read> = {
    roles: (value, at) => (to.roles = sorted(body.names(value, at))),
    users: (value, at) => (to.users = sorted(body.names(value, at))),
  };
  body.object(node, path, "an object", readers, "an audience has the members roles and users");
  if (to.roles.length + to.users.length > 256) throw body.fault(path, `${to.roles.length + to.users.length} roles and users, at most 256`);
  return to;
}

function readAck(body: Body, node: Node, path: string): Ack {
  const ack = { by: "", within: 30_000, attempts: 5 };
  const readers: Record<string, Read> = {
    by: (value, at) => (ack.by = body.name(value, at)),
    within: (value, at) => (ack.within = body.duration(value, at)),
    attempts: (value, at) => (ack.attempts = body.count(value, at)),
  };
  body.object(node, path, "an object", readers, "who must confirm is said by the members by, within and attempts");
  if (ack.by === "") throw body.fault(`${path}.by`, "by is required: any, user or device");
  return { ...ack, by: ack.by as Ack["by"] };
}
