import { beyond, parseCursor, type Cursor } from "./cursor.ts";
import type { Change, Message, RoxyEvent } from "./messages.ts";
import { duration } from "./problem.ts";
import type { Block } from "./transport.ts";
import { defined } from "./quality.ts";

export interface Hello {
  readonly connection: string;
  /** Where the stream begins; absent before a snapshot. */
  readonly cursor?: string;
  readonly view: string;
  /** In milliseconds. */
  readonly heartbeat: number;
  /** The hub's, in milliseconds since 1970. */
  readonly time: number;
}

/** What one block means. */
export interface Taken {
  readonly hello?: Hello;
  /** To be given to the app, in order. */
  readonly messages?: readonly Message[];
  /** A heartbeat, and the hub's time in it. */
  readonly heartbeat?: number;
  readonly bye?: { readonly reason: string; readonly retry: number };
  /** A new snapshot is needed, from a new connection. */
  readonly again?: true;
  /** The block is not as docs/protocol.md says. To leave it out would be a hole. */
  readonly garbled?: string;
}

/** Follows a stream over its connections: keeps the position and lets nothing through twice. */
export interface Taker {
  take(block: Block): Taken;
  /** Everything up to here was taken or is not for us; undefined while nothing is known. */
  position(): Cursor | undefined;
}

const NOTHING: Taken = {};

type Members = Readonly<Record<string, unknown>>;

export function createTaker(snapshot: boolean): Taker {
  let position: Cursor | undefined;
  let high: Cursor | undefined; // the last event that was taken; a snapshot does not go back behind it
  let view = "";
  let live = false;

  /** Moves the position forward and reports whether it did; a repeat does not. */
  const advance = (to: Cursor | undefined): boolean | string => {
    if (!to || !beyond(to, position)) return false;
    if (position && to.epoch !== position.epoch) return `the hub went from ${position.text} to ${to.text} without a reset`;
    position = to;
    return true;
  };

  /**
   * hello is first on every stream. Its id counts only when nothing is known yet: on a resumed stream a reset may follow,
   * and whoever had moved on already would never hear of it if the link is cut in between.
   */
  const hello = (data: Members, at: Cursor | undefined): Taken => {
    const told: Hello = defined<Hello>({
      connection: String(data["connection"]),
      cursor: text(data["cursor"]),
      view: text(data["view"]) ?? "",
      heartbeat: Math.min(Math.max(duration(data["heartbeat"]), 1_000), 60_000),
      time: Date.parse(String(data["time"])),
    });
    live = false;
    let changed = view !== "" && told.view !== "" && told.view !== view;
    view = told.view || view;
    if (!position) {
      position = at;
      changed = false;
    }
    if (changed && snapshot) {
      position = undefined; // what was given before is not what a patch of this stream is for
      return { hello: told, messages: [{ kind: "reset", reason: "view" }], again: true };
    }
    if (changed) return { hello: told, messages: [{ kind: "reset", reason: "view", cursor: position!.text }] };
    return snapshot && !told.cursor ? { hello: told, messages: [{ kind: "snapshot" }] } : { hello: told };
  };

  const reset = (data: Members): Taken => {
    const cursor = parseCursor(text(data["cursor"]));
    const reason = data["reason"] as "epoch" | "retention" | "overflow";
    if (!cursor) return { garbled: "roxy:reset without a cursor" };
    if (reason === "epoch") high = undefined;
    position = snapshot ? undefined : cursor; // to be cut off in the snapshot that follows means to begin anew
    return { messages: snapshot ? [{ kind: "reset", reason }, { kind: "snapshot" }] : [{ kind: "reset", reason, cursor: cursor.text }] };
  };

  const event = (block: Block, data: Members, at: Cursor | undefined): Taken => {
    if (at) {
      const fresh = advance(at);
      if (typeof fresh === "string") return { garbled: fresh };
      if (!fresh || !beyond(at, high)) return NOTHING;
      high = at;
    }
    if (typeof data["topic"] !== "string") return { garbled: `a ${block.event} without a topic` };
    const { op, version, base, patch, mutation, ...members } = data;
    const change = op === undefined ? undefined : defined<Change>({ op, version, base, patch, mutation } as Change);
    const taken = { ...members, data: data["data"], kind: "event", type: block.event, cursor: at?.text, change, live };
    return { messages: [defined<RoxyEvent>(taken as unknown as RoxyEvent)] };
  };

  return {
    position: () => position,
    take(block) {
      const at = parseCursor(block.id);
      if (block.id && !at) return { garbled: `the id ${block.id} is no cursor` };
      const data = (typeof block.data === "object" && block.data !== null ? block.data : {}) as Members;
      switch (block.event) {
        case "roxy:hello":
          return hello(data, at);
        case "roxy:reset":
          return reset(data);
        case "roxy:bye":
          return { bye: { reason: String(data["reason"]), retry: Number(data["retry"]) || 0 } };
        case "roxy:entity":
        case "roxy:receipt":
        case "roxy:ack":
        case "roxy:presence":
          return { messages: [{ ...data, kind: block.event.slice("roxy:".length) } as unknown as Message] };
        case "roxy:unacked": // a dead letter, an event like others
          return event(block, data, at);
        default:
      }
      if (!block.event.startsWith("roxy:")) return event(block, data, at);
      const moved = advance(at); // live, a heartbeat, an id alone, what a newer hub knows
      if (typeof moved === "string") return { garbled: moved };
      if (block.event === "roxy:live") {
        live = true;
        const { replayed, entities } = data as { replayed?: number; entities?: number };
        return { messages: [defined<Message & { kind: "live" }>({ kind: "live", cursor: position?.text, replayed: replayed ?? 0, entities })] };
      }
      return block.event === "roxy:heartbeat" ? { heartbeat: Date.parse(String(data["time"])) } : NOTHING;
    },
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
