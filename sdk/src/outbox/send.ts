// The calls about requests: what goes to the hub, when, and again.
import type { Timer } from "../core/clock.ts";
import type { Options } from "./api.ts";
import { asked, type Lane, type Lanes, type Request, type Slot, waiting, wireOf } from "./lane.ts";
import type { Entry } from "./storage.ts";
import type { Failure, Problem, Result } from "./wire.ts";

/** Requests that are sent at a time. */
const maxBusy = 4;
/** A call without an answer for this long is made again, under the same ids. */
const answerWithin = 10_000;
/** The hub keeps results for 24 h: what was sent longer ago could commit twice if it were sent again. */
const resendWithin = 23 * 3_600_000;
/** Ids of one question. */
const maxIds = 1000;

/** Who keeps the requests, for who sends them. */
export interface Desk {
  /** Whether this page may send now. */
  open(): boolean;
  now(): number;
  device(): string | undefined;
  change(slot: Slot, to: Partial<Entry>): void;
  changed(request: Request): void;
  verdict(result: Result): void;
  /** Has the hub make sure that it never commits; why says what it is then. */
  takeBack(request: Request, why: Request["why"]): void;
  park(request: Request, problem: Problem): void;
}

export interface Sending {
  /** Sends what may be sent. */
  drain(): void;
  /** Ends the wait for the next call about it. */
  calm(request: Request): void;
  /** Asks the hub what became of mutations that it may know. */
  inquire(ids: readonly string[]): Promise<void>;
  /** The token may be another one. */
  signIn(): void;
}

export function sending({ transport, storage, clock, random, attempts = 0 }: Options, lanes: Lanes, desk: Desk): Sending {
  let signedOut = false; // the token was refused: nothing is sent until signIn
  let busy = 0;

  const undecided = (r: Request): Slot[] => r.slots.filter(asked);

  const exchange = async (r: Request): Promise<void> => {
    const open = undecided(r);
    const ids = open.map((s) => s.entry.id);
    const id = ids[0] as string;
    const now = desk.now();
    const settleKnown = async (): Promise<void> => (await transport.status(ids)).forEach(desk.verdict);
    if (open[0]?.entry.state === "cancelling") {
      // One that never commits keeps all of an atomic request from it.
      const result = await transport.cancel(id);
      if (result) return desk.verdict(result);
      await settleKnown();
      // Who may write nothing any more can have nothing committed from now on either.
      return desk.verdict({ id, status: "cancelled" });
    }
    // (By a clock that was put back it seems to be the future, and nobody knows.)
    if (r.uncertain && open.some(({ entry: { sentAt = now } }) => Math.abs(now - sentAt) > resendWithin)) {
      await settleKnown();
      if (undecided(r).length > 0) desk.park(r, { code: "expired", detail: "sent too long ago for the hub to know of it" });
      return;
    }
    const results = await transport.send(open.map((s) => wireOf(s.entry)));
    if (results.length === 0) throw { failure: "unreachable" } satisfies Failure;
    // A refusal of a repetition need not be the hub's word on the first: grants and limits come before what it remembers.
    const doubtful = results.find((result) => result.status === "refused" && r.uncertain && !decidedAnew.has(result.problem?.code ?? ""));
    if (!doubtful) return results.forEach(desk.verdict);
    const slot = open.find((s) => s.entry.id === doubtful.id);
    if (slot?.entry.state === "sent") desk.takeBack(r, { problem: doubtful.problem ?? { code: "internal" }, park: false });
  };

  const failed = (r: Request, reason: unknown): void => {
    const { failure = "unreachable", retryAfter = 0 } = (reason ?? {}) as Partial<Failure>;
    r.uncertain = true;
    if (failure === "unauthenticated") return void (signedOut = true);
    if (failure === "busy" && ++r.failures >= (attempts || 20) && r.slots.some((s) => s.entry.state === "sent")) {
      return desk.takeBack(r, { problem: { code: "overloaded", detail: `${r.failures} answers without a decision` }, park: true });
    }
    const spread = random() * Math.min(30_000, 500 * 2 ** Math.min(r.tries, 10));
    calm(r);
    r.timer = clock.set(() => {
      r.timer = undefined;
      drain();
    }, Math.max(retryAfter, 1000, spread));
  };

  const calm = (r: Request): void => {
    clock.clear(r.timer);
    r.timer = undefined;
  };

  /** What call resolves to; a call that takes too long is unreachable, though its answer counts whenever it comes. */
  const inTime = async <T>(call: Promise<T>): Promise<T> => {
    let late: Timer;
    const timeout = new Promise<never>((_, reject) => {
      late = clock.set(() => reject({ failure: "unreachable" } satisfies Failure), answerWithin);
    });
    call.catch(() => {}); // heard of below, or too late
    try {
      return await Promise.race([call, timeout]);
    } finally {
      clock.clear(late);
    }
  };

  const send = async (r: Request): Promise<void> => {
    const fresh = r.slots.filter((s) => s.entry.state === "queued");
    if (fresh.length > 0) {
      const device = desk.device();
      for (const slot of fresh) desk.change(slot, { state: "sent", sentAt: desk.now(), ...(device !== undefined && { device }) });
      desk.changed(r);
      try {
        await storage.put(fresh.map((s) => s.entry)); // R2: before the network, or a reload would take it for one that the hub never saw
      } catch {
        for (const slot of fresh) if (slot.entry.state === "sent") desk.change(slot, { state: "queued" });
        desk.changed(r);
        return failed(r, undefined);
      }
    }
    const ids = String(undecided(r).map((s) => s.entry.id));
    if (!desk.open() || !ids) return;
    r.tries++;
    try {
      await inTime(exchange(r));
    } catch (reason) {
      if (ids === String(undecided(r).map((s) => s.entry.id))) failed(r, reason);
    }
  };

  const start = (lane: Lane): void => {
    const r = lane.find(waiting)?.request;
    // FIFO per entity (R3, I8): whatever keeps the first keeps the others, but not other lanes.
    if (!r || r.timer !== undefined) return;
    const cancelling = r.slots.some((s) => s.entry.state === "cancelling");
    if (r.busy && (r.busy.cancelling || !cancelling)) return;
    const first = (s: Slot): boolean => lanes.lane(s.entry.topic).find(waiting) === s;
    if (!r.slots.every((s) => !waiting(s) || (first(s) && s.entry.seq && s.entry.state !== "held"))) return;
    const call = { cancelling };
    r.busy = call;
    busy++;
    void send(r).finally(() => {
      if (r.busy === call) r.busy = undefined;
      busy--;
      drain();
    });
  };

  const drain = (): void => {
    for (const lane of lanes.each()) if (desk.open() && !signedOut && busy < maxBusy) start(lane);
  };

  return {
    drain,
    calm,
    async inquire(ids) {
      for (let i = 0; i < ids.length; i += maxIds) (await inTime(transport.status(ids.slice(i, i + maxIds)))).forEach(desk.verdict);
    },
    signIn: () => void (signedOut = false),
  };
}

/** Codes of refusals that only who looked the id up, and found nothing, or found this very refusal, can give. */
const decidedAnew = new Set(["version-conflict", "schema-violation", "not-found", "cancelled"]);
