import { createAlarm, type Clock } from "./clock.ts";
import { beyond, type Cursor } from "./cursor.ts";
import type { RoxyProblem } from "./problem.ts";

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
/** The body of POST /v1/acks. */
export interface AckBody {
  readonly device: string;
  readonly delivered: string | undefined;
  readonly ids: readonly string[] | undefined;
}

/** Something that was given to handlers, and is handled once they returned. */
export interface Work {
  position: Cursor | undefined;
  done: boolean;
}

/** Tells the hub what a device has handled; client/acknowledger.go is the same for Go. */
export interface Acks {
  /** A connection begins at a cursor: the hub knows that everything before was handled. */
  begins(at: Cursor | undefined): void;
  /** Something is given to handlers. Nothing behind it counts as delivered until it is done. */
  given(position: Cursor | undefined): Work;
  /** Its handlers returned. `handled` is the ack.id of a critical event, unless one of them threw or there was none. */
  done(work: Work, handled?: string): void;
  /** Everything up to position is handled although nothing was given. */
  passed(position: Cursor | undefined): void;
  /** Confirms a critical event. */
  confirm(ackId: string): void;
  /** The log began anew: what had these offsets was in another life. */
  anew(): void;
  /** Where to resume, at position or before it: everything up to there was handled, and to name it tells the hub so. */
  resume(position: Cursor): Cursor | undefined;
  /** Tries once more to tell what the hub has not heard. */
  close(): void;
  /** Goes on after close. */
  reopen(): void;
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
  let ids: string[] = []; // critical events to be confirmed, until the hub has answered
  let open: Work[] = []; // in the order given, the first of them not done
  const alarm = createAlarm(clock);
  let due = Infinity;
  let calling = false;
  let closed = false;

  const within = (ms: number): void => {
    const when = clock.now() + ms;
    if (closed || when >= due) return;
    due = when;
    alarm(() => void tell(false), ms);
  };

  const tell = async (last: boolean): Promise<void> => {
    due = Infinity;
    if (calling && !last) return within(WAIT);
    const position = beyond(delivered, told) ? delivered : undefined;
    const batch = ids.slice(0, FULL);
    if (!position && !batch[0]) return;
    calling = true;
    let wait = WAIT;
    try {
      await send({ device, delivered: position?.text, ids: batch[0] ? batch : undefined }, last);
    } catch (error) {
      const { passing, status } = error as RoxyProblem;
      if (passing || status === 401) wait = REST;
      else report(error); // it is the hub's last word
    }
    calling = false;
    if (wait === WAIT) {
      if (beyond(position, told)) told = position;
      ids = ids.filter((id) => !batch.includes(id));
    }
    if (wait === REST || ids[0]) within(wait);
  };

  const confirm = (id: string): void => {
    if (!ids.includes(id)) ids.push(id);
    within(WAIT);
  };

  const drain = (ms: number): void => {
    while (open[0]?.done) delivered = open.shift()!.position ?? delivered;
    within(ms);
  };

  return {
    begins(at) {
      if (beyond(at, told)) told = at;
    },
    given(position) {
      const work: Work = { position, done: false };
      open.push(work);
      return work;
    },
    done(work, handled) {
      work.done = true;
      if (handled && confirms) confirm(handled);
      drain(WAIT);
    },
    passed(position) {
      if (!beyond(position, open.at(-1)?.position ?? delivered)) return;
      open.push({ position, done: true });
      drain(IDLE);
    },
    confirm,
    anew() {
      delivered = told = undefined;
      ids = [];
      open = [];
    },
    resume: (position) => (open[0] ? delivered : position),
    close() {
      closed = true;
      alarm();
      void tell(true);
    },
    reopen() {
      closed = false;
      within(WAIT);
    },
  };
}
