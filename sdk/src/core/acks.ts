import { delay } from "./attempts.ts";
import type { Clock, Timer } from "./clock.ts";
import { beyond, type Cursor } from "./cursor.ts";
import type { RoxyProblem } from "./problem.ts";
import { defined } from "./quality.ts";

/** What was handled waits this long for more, so that a burst of events is one call. */
const WAIT = 50;
/** So many critical events are confirmed by one call. */
const FULL = 100;
/**
 * How long the position may run ahead of what the hub was told by events that are not for the device. It is only for the
 * hub's retention: a cursor that it overtook would cost a wiped device a reset.
 */
const IDLE = 600_000;
/** Critical events that are known to have been handled: as many as a hub keeps open. */
const KEPT = 10_000;

/** The body of POST /v1/acks. */
export interface AckBody {
  readonly device: string;
  readonly delivered?: string;
  readonly ids?: readonly string[];
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
  /** Its handlers returned. `ackId` is that of a critical event, which is `handled` unless a handler threw or there was none. */
  done(work: Work, ackId?: string, handled?: boolean): void;
  /** Everything up to position is handled although nothing was given. */
  passed(position: Cursor | undefined, soon: boolean): void;
  /** The app confirms a critical event itself. */
  confirm(ackId: string): void;
  /** Whether a critical event was handled. One that was confirmed is confirmed again: the hub would not repeat what it heard of. */
  has(ackId: string): boolean;
  /** The log began anew: what had these offsets was in another life. */
  anew(): void;
  /** Where to resume, at position or before it: everything up to there was handled, and to name it tells the hub so. */
  resume(position: Cursor | undefined): Cursor | undefined;
  /** Tries once more to tell what the hub has not heard. */
  close(): void;
  /** Goes on after close. */
  reopen(): void;
}

export interface AcksOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly device: string;
  /** Critical events are confirmed once they were handled. */
  readonly confirms: boolean;
  readonly send: (body: AckBody, last: boolean) => Promise<unknown>;
  readonly report: (error: unknown) => void;
}

export function createAcks({ clock, random, device, confirms, send, report }: AcksOptions): Acks {
  let delivered: Cursor | undefined; // everything up to here was handled
  let told: Cursor | undefined; // and the hub has answered up to here
  let ids: string[] = []; // critical events to be confirmed, until the hub has answered
  let open: Work[] = []; // in the order given, the first of them not done
  const known = new Map<string, boolean>(); // critical events that were handled, and whether they were confirmed

  let due = Infinity;
  let timer: Timer;
  let calling = false;
  let failures = 0;
  let rest = -Infinity; // until when to leave the hub alone
  let closed = false;

  const within = (ms: number): void => {
    const when = Math.max(clock.now() + ms, rest);
    if (closed || when >= due) return;
    clock.clear(timer);
    due = when;
    timer = clock.set(() => void tell(false), when - clock.now());
  };

  const tell = async (last: boolean): Promise<void> => {
    due = Infinity;
    if (calling && !last) return within(WAIT);
    const position = beyond(delivered, told) ? delivered : undefined;
    const batch = ids.slice(0, FULL);
    if (!position && batch.length === 0) return;
    calling = true;
    let over = true;
    try {
      await send(defined<AckBody>({ device, delivered: position?.text, ids: batch.length > 0 ? batch : undefined }), last);
      failures = 0;
    } catch (error) {
      const problem = error as RoxyProblem;
      over = !problem.passing && problem.status !== 401;
      if (over) report(problem); // it is the hub's last word
      else rest = clock.now() + delay(random(), failures++, problem.retryAfter);
    }
    calling = false;
    if (over) {
      if (beyond(position, told)) told = position;
      ids = ids.filter((id) => !batch.includes(id));
    }
    if (!over || ids.length > 0) within(0);
  };

  const keep = (id: string, confirmed = false): void => {
    known.set(id, confirmed || !!known.get(id));
    if (known.size > KEPT) known.delete(known.keys().next().value!);
  };

  const confirm = (id: string): void => {
    keep(id, true);
    if (!ids.includes(id)) ids.push(id);
    within(WAIT);
  };

  const drain = (): void => {
    while (open[0]?.done) delivered = open.shift()!.position ?? delivered;
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
    done(work, ackId, handled = true) {
      work.done = true;
      drain();
      if (ackId && handled) (confirms ? confirm : keep)(ackId);
      within(WAIT);
    },
    passed(position, soon) {
      if (!beyond(position, open.at(-1)?.position ?? delivered)) return;
      open.push({ position, done: true });
      drain();
      within(soon ? WAIT : IDLE);
    },
    confirm,
    has(ackId) {
      const confirmed = known.get(ackId);
      if (confirmed) confirm(ackId);
      return confirmed !== undefined;
    },
    anew() {
      delivered = told = undefined;
      ids = [];
      open = [];
      known.clear();
    },
    resume: (position) => (open.length === 0 ? position : delivered),
    close() {
      closed = true;
      clock.clear(timer);
      void tell(true);
    },
    reopen() {
      closed = false;
      within(WAIT);
    },
  };
}
