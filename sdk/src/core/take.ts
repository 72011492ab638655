import { beyond, parseCursor, type Cursor } from "./cursor.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import { duration, garbled, type RoxyProblem } from "./problem.ts";
import type { Block, End } from "./transport.ts";

export interface Hello {
  readonly connection: string;
  /** The position with which the stream begins; undefined before a snapshot. */
  readonly position: Cursor | undefined;
  /** In milliseconds. */
  readonly heartbeat: number;
  /** Bound of the first wait before another attempt, in milliseconds. */
  readonly retry: number;
  /** The hub's, in milliseconds since 1970. */
  readonly time: number;
}

type Mutable<Shape> = { -readonly [Name in keyof Shape]: Shape[Name] };

/**
 * What blocks mean that came at once. Its problem is a block that is not as docs/protocol.md says: to leave it out would be a hole. It is to be
 * renewed when a new snapshot is needed, from a new connection.
 */
export interface Taken extends Mutable<End> {
  hello?: Hello;
  /** To be given to the app, in order. */
  readonly messages: Message[];
  /** A heartbeat, and the hub's time in it. */
  heartbeat?: number;
}

/** Follows a stream over its connections: keeps the position and lets nothing through twice. */
export interface Taker {
  take(blocks: readonly Block[]): Taken;
  /** Everything up to here was taken or is not for us; undefined while nothing is known. */
  position(): Cursor | undefined;
  /** Whether the last stream has caught up. */
  live(): boolean;
}

type Members = Readonly<Record<string, unknown>>;

export function createTaker(snapshot: boolean): Taker {
  let position: Cursor | undefined;
  let high: Cursor | undefined; // the last event that was taken; a snapshot does not go back behind it
  let view = "";
  let live = false;

  /** Takes one block, or throws what is wrong with it. */
  const take = ({ event: type, id, data: value }: Block, taken: Taken): void => {
    const { messages } = taken;
    const data: Members = { ...(value as Members | null) };
    // roxy:unacked is a dead letter, an event like others.
    const [, kind] = /^roxy:(?!unacked)(.*)/.exec(type) ?? [];
    const at = parseCursor(kind === "reset" ? data["cursor"] : id);
    if (!at && (id || kind === "reset")) throw garbled(`${type} without a cursor`);
    if (kind === "hello") {
      // Its id counts only when nothing is known yet: on a resumed stream a reset may follow, and whoever had moved on already
      // would never hear of it if the link is cut in between.
      const before = position && view;
      position ??= at;
      taken.hello = {
        connection: data["connection"] as string,
        position: data["cursor"] ? position : undefined,
        heartbeat: duration(data["heartbeat"]) || 15_000,
        retry: Number(data["retry"]),
        time: Date.parse(data["time"] as string),
      };
      live = false;
      view = (data["view"] as string) || view;
      if (before && view !== before) {
        if (snapshot) {
          taken.renew = "view";
          position = undefined; // what was given before is not what a patch of this stream is for
        }
        messages.push({ kind: "reset", reason: "view", cursor: position });
      } else if (snapshot && !data["cursor"]) messages.push({ kind: "snapshot" });
      return;
    }
    if (kind === "reset") {
      const reason = data["reason"] as ResetMessage["reason"];
      if (reason === "epoch") high = undefined;
      position = snapshot ? undefined : at; // to be cut off in the snapshot that follows means to begin anew
      messages.push({ kind, reason, cursor: position });
      if (snapshot) messages.push({ kind: "snapshot" });
      return;
    }
    if (at && position && at.split(".")[0] !== position.split(".")[0]) throw garbled(`${id} without a reset`);
    const ahead = beyond(at, position);
    if (ahead) position = at;
    if (!kind) {
      if (at && !(ahead && beyond(at, high))) return; // a repeat
      high = at ?? high;
      const { op, version, base, patch, mutation, ...members } = data;
      if (typeof members["topic"] !== "string") throw garbled(`${type} without a topic`);
      const change = op && { op, version, base, patch, mutation };
      messages.push({ ...members, kind: "event", type, cursor: at, change, live } as RoxyEvent);
    } else if (kind === "bye") taken.bye = data;
    else if (kind === "heartbeat") taken.heartbeat = Date.parse(data["time"] as string);
    else if (kind === "live") {
      live = true;
      messages.push({ replayed: 0, cursor: position, ...data, kind });
    } else if (kind !== "id") messages.push({ ...data, kind } as Message); // also what a newer hub knows
  };

  return {
    position: () => position,
    live: () => live,
    take(blocks) {
      const taken: Taken = { messages: [] };
      try {
        for (const block of blocks) if (!taken.renew) take(block, taken); // what follows belongs behind what is missing
      } catch (error) {
        taken.problem = error as RoxyProblem;
      }
      return taken;
    },
  };
}
