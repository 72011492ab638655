import { createAlarm, type Clock } from "./clock.ts";
import { beyond, type Cursor } from "./cursor.ts";
import type { RoxyEvent } from "./messages.ts";
import { unreachable } from "./problem.ts";

/** What was handled waits this long for more, so that a burst of events is one call. */
const WAIT = 50;
/** So many critical events are confirmed by one call. */
const FULL = 100;
/**
 * How long the position may run ahead of what the hub was told by events that are not for the device. It is only for the
 * hub's retention: a cursor that it overtook would cost a wiped device a reset.
 */
const IDLE = 600_000;
/** A hub that did not answer for so long as a call is repeated is left alone for as long. */
const REST = 30_000;
/** So many critical events are remembered: as many as a hub keeps open. */
const REMEMBERED = 10_000;

/** The body of POST /v1/acks. */
export interface AckBody {
  readonly device: string;
  readonly delivered: string | undefined;
  readonly ids: readonly string[] | undefined;
}

/** Tells the hub what a device has handled; client/acknowledger.go is the same for Go. */
export interface Acks {
  /** A connection begins at a cursor: the hub knows that everything before was handled. */
  begins(at: Cursor | undefined): void;
  /** Whether an event is a critical one that was handled, or is about to be: then it is not given again. */
  knows(event: RoxyEvent): boolean;
  /**
   * Something is given to handlers, and handled when settled says what became of each. Nothing behind it counts as delivered
   * before. A critical event counts as handled when there were handlers, and all bore it.
   */
  given(message: Pick<RoxyEvent, "cursor" | "ack">, settled: Promise<readonly boolean[]>): void;
  /** Everything up to position is handled although nothing was given. */
  passed(position: Cursor | undefined): void;
  /** Confirms a critical event. */
  confirm(ackId: string): void;
  /** The log began anew: what had these offsets was in another life. */
  anew(): void;
  /** Where to resume, at position or before it: everything up to there was handled, and to name it tells the hub so. */
  resume(position: Cursor): Cursor | undefined;
  /** Tries once more to tell what the hub has not heard, and then no more until a connection begins. */
  close(): void;
}

/** With confirms, critical events are confirmed once they were handled. send tries until the hub has answered, or for long enough. */
export function createAcks(
  clock: Clock,
  report: (error: unknown) => void,
  device: string,
  confirms: boolean,
  send: (body: AckBody, last: boolean) => Promise<unknown>,
): Acks {
  let delivered: Cursor | undefined; // everything up to here was handled
  let told: Cursor | undefined; // and the hub has answered up to here
  const ids = new Set<string>(); // critical events to be confirmed, until the hub has answered
  let open: { readonly position: Cursor | undefined; done: boolean }[] = []; // in the order given, the first of them not done
  const known = new Set<string | undefined>();
  const alarm = createAlarm(clock);
  let waiting = Infinity; // so long, from when it began to; 0 when nothing is to be told any more
  let calling = false;

  const within = (ms: number): void => {
    if (ms >= waiting) return;
    waiting = ms;
    alarm(() => void tell(false), ms);
  };

  const tell = async (last: boolean): Promise<void> => {
    waiting = Infinity;
    if (calling && !last) return within(WAIT);
    const position = beyond(delivered, told) ? delivered : undefined;
    const batch = [...ids].slice(0, FULL);
    if (!position && !batch[0]) return;
    calling = true;
    const error = await send({ device, delivered: position, ids: batch[0] ? batch : undefined }, last).then(() => undefined, unreachable);
    calling = false;
    if (error?.passing || error?.status === 401) return within(REST);
    if (error) report(error); // it is the hub's last word
    told = position ?? told;
    for (const id of batch) ids.delete(id);
    if (ids.size) within(WAIT);
  };

  const confirm = (id: string): void => {
    ids.add(id);
    within(WAIT);
  };

  const drain = (ms: number): void => {
    while (open[0]?.done) delivered = open.shift()!.position ?? delivered;
    within(ms);
  };

  return {
    begins(at) {
      waiting = Infinity;
      told = at ?? told;
      within(WAIT);
    },
    knows: ({ ack }) => known.has(ack?.id),
    given({ cursor, ack }, settled) {
      const work = { position: cursor, done: false };
      open.push(work);
      const critical = ack?.id;
      if (critical) known.add(critical);
      if (known.size > REMEMBERED) known.delete(known.values().next().value);
      void settled.then((good) => {
        work.done = true;
        if (critical) {
          if (good.length === 0 || good.includes(false)) known.delete(critical);
          else if (confirms) confirm(critical);
        }
        drain(WAIT);
      });
    },
    passed(position) {
      if (!beyond(position, open.at(-1)?.position ?? delivered)) return;
      open.push({ position, done: true });
      drain(IDLE);
    },
    confirm,
    anew() {
      delivered = told = undefined;
      ids.clear();
      open = [];
    },
    resume: (position) => (open[0] ? delivered : position),
    close() {
      alarm();
      void tell(true);
      waiting = 0;
    },
  };
}
