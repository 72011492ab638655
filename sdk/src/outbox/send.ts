// The calls about requests: what goes to the hub, when, and again.
import type { Options } from "./api.ts";
import { asked, cancelling, type End, type Lanes, type Request, type Slot, waiting, wireOf } from "./lane.ts";
import type { Failure, Problem, Result } from "./wire.ts";

/** Requests that are sent at a time. */
const maxBusy = 4;
/** A call without an answer for this long is made again, under the same ids. */
const answerWithin = 10_000;
/** The hub keeps results for 24 h: what was sent longer ago could commit twice if it were sent again. */
const resendWithin = 23 * 3_600_000;

/** What is too old to be sent. */
export const expired: Problem = { code: "expired", detail: "not sent in time" };

/** Who keeps the requests, for who sends them. */
export interface Desk {
  /** Whether this page may send now. */
  open(): boolean;
  verdict(result: Result): void;
  /** Has the hub make sure that it never commits. */
  abandon(request: Request, state: End, problem: Problem): void;
  /** The token was refused: nothing is sent until there may be another one. */
  pause(): void;
  drain(): void;
}

export interface Sending {
  /** Sends the first mutation of a lane, if it may be sent. */
  start(topic: string): void;
  /** Asks the hub what became of mutations that it may know; nothing is sent meanwhile. Without an answer it goes on. */
  inquire(ids: readonly string[]): Promise<void>;
}

export function sending(options: Options, lanes: Lanes, desk: Desk): Sending {
  const { transport, storage, clock, random, now = Date.now } = options;
  let { device } = options;
  let busy = 0;

  const open = (r: Request): Slot[] => r.slots.filter(asked);
  const idsOf = (r: Request): string[] => open(r).map((s) => s.entry.id);

  const status = async (ids: readonly string[]): Promise<void> => (await transport.status(ids)).forEach(desk.verdict);

  const exchange = async (r: Request): Promise<void> => {
    const ids = idsOf(r);
    const [id] = ids as [string];
    const sent = now();
    if (r.slots.some(cancelling)) {
      // One that never commits keeps all of an atomic request from it.
      const result = await transport.cancel(id);
      // Who may write nothing any more can have nothing committed from now on either.
      if (!result) await status(ids);
      return desk.verdict(result ?? { id, status: "cancelled" });
    }
    // (By a clock that was put back it seems to be the future, and nobody knows.)
    if (r.tries > 1 && open(r).some(({ entry: { sentAt = sent } }) => Math.abs(sent - sentAt) > resendWithin)) {
      await status(ids);
      r.otherwise = ["parked", expired];
      return desk.verdict({ id, status: "cancelled" });
    }
    (await transport.send(open(r).map((s) => wireOf(s.entry)))).forEach(desk.verdict);
  };

  const failed = (r: Request, { failure, retryAfter = 0 }: Partial<Failure>): void => {
    if (failure === "unauthenticated") return desk.pause();
    if (failure === "busy" && ++r.failures >= (options.attempts || 20)) {
      desk.abandon(r, "parked", { code: "overloaded", detail: `not decided in ${r.failures} attempts` });
    }
    const spread = random() * Math.min(30_000, 500 * 2 ** Math.min(r.tries, 10));
    r.due = clock.now() + Math.max(retryAfter, 1000, spread);
  };

  /** What call resolves to; a call that takes too long has failed, though its answer counts whenever it comes. */
  const inTime = (call: Promise<void>): Promise<void> =>
    new Promise((resolve, reject) => {
      const late = clock.set(reject, answerWithin);
      call.then(resolve, reject).finally(() => clock.clear(late));
    });

  const send = async (r: Request): Promise<void> => {
    device ??= await storage.device().catch(() => undefined);
    const fresh = r.slots.filter((s) => s.entry.state === "queued" && desk.open());
    if (fresh.length > 0) {
      lanes.change(fresh, { state: "sent", sentAt: now(), device });
      lanes.tell();
      try {
        await storage.put(fresh.map((s) => s.entry)); // R2: before the network, or a reload would take it for one that the hub never saw
      } catch {
        lanes.change(fresh.filter((s) => s.entry.state === "sent"), { state: "queued" });
        lanes.tell();
        return failed(r, {});
      }
    }
    const ids = String(idsOf(r));
    if (!desk.open() || !ids) return;
    r.tries++;
    const why = await inTime(exchange(r)).catch((reason: Partial<Failure>) => reason);
    if (ids === String(idsOf(r))) failed(r, why ?? {});
  };

  return {
    start(topic) {
      const first = (at: string): Slot | undefined => lanes.lane(at).find(waiting);
      const r = first(topic)?.request;
      // FIFO per entity (R3, I8): whatever keeps the first keeps the others, but not other lanes.
      if (!r || busy >= maxBusy || r.due > clock.now()) return;
      const cancels = r.slots.some(cancelling);
      if (r.busy || (r.busy === false && !cancels)) return;
      if (!r.slots.every((s) => !waiting(s) || (first(s.entry.topic) === s && s.entry.seq && s.entry.state !== "held"))) return;
      r.busy = cancels;
      busy++;
      void send(r).finally(() => {
        if (r.busy === cancels) r.busy = undefined;
        busy--;
        desk.drain();
      });
    },
    async inquire(ids) {
      if (ids.length === 0) return;
      busy += maxBusy;
      await inTime(status(ids)).catch(() => {});
      busy -= maxBusy;
      desk.drain();
    },
  };
}
