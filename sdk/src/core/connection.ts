import { createAttempts, type Attempts, type Backoff } from "./attempts.ts";
import type { Calls } from "./calls.ts";
import type { Timer } from "./clock.ts";
import type { Ladder } from "./ladder.ts";
import type { Platform, Signal } from "./platform.ts";
import { RoxyProblem } from "./problem.ts";
import { unreachable } from "./sse.ts";
import type { Hello, Taken } from "./take.ts";
import type { Block, End, Link, StreamRequest, Transport } from "./transport.ts";

/**
 * Where a client stands. `recovering` was live and comes back by itself, `offline` when the device says why; `needs-auth`
 * waits for another token, `failed` for connect(), the network or somebody who looks at the page; `closed` for connect().
 */
export type State = "idle" | "connecting" | "live" | "recovering" | "offline" | "needs-auth" | "failed" | "closed";

/** A stream that opened without a hello for so long is held back by something on the way. */
const HELLO = 5_000;
/** Bounds how long a stream may take to open, until the hub told its heartbeat. */
const OPENING = 30_000;
/** What a stream has brought for so long is a good one: the next wait is a first one. */
const HEALTHY = 30_000;
/** How often the time is looked at. */
const TICK = 5_000;
/** A tick that is late by more than this says that the device slept, or that the page was frozen. */
const JUMP = 4_000;
/** What came meanwhile is given so long to be read before a stream counts as silent. */
const GRACE = 500;

/** How a connection ended, for who measures. */
export interface Down {
  /** By the hub's plan, the app's or sleep. */
  readonly planned?: boolean;
  /** It fell silent, or nobody comes back. */
  readonly dead?: boolean;
}

export interface ConnectionOptions {
  readonly platform: Platform;
  readonly calls: Calls;
  readonly ladder: Ladder;
  readonly backoff: Backoff;
  /** What to ask for; undefined when there is nothing. */
  request(): Omit<StreamRequest, "platform" | "url" | "headers" | "credentials" | "tokened" | "ticket"> | undefined;
  take(block: Block): Taken;
  /** Gives the app what came at once. */
  give(taken: readonly Taken[]): void;
  state(state: State): void;
  up(hello: Hello): void;
  down(how: Down): void;
  /** Nothing came for longer than a heartbeat and its tolerance. */
  missed(): void;
  tick(): void;
  note(kind: string, detail?: string): void;
}

/** One client's stream over all its connections. */
export interface Connection {
  /** Connects, or goes on after an end that was final. */
  connect(): void;
  /** Connects anew when something else is to be asked for. */
  renew(why: string): void;
  /** Ends the stream; connect may begin it again. */
  close(): void;
  /** Ends it for as long as the page is hidden. */
  pause(): void;
  signal(signal: Signal): void;
  state(): State;
  problem(): RoxyProblem | undefined;
  transport(): Transport | undefined;
  hear(type: string): void;
  lastByte(): number;
  readonly attempts: Attempts;
}

export function createConnection(options: ConnectionOptions): Connection {
  const { platform, calls, ladder, note } = options;
  const { clock } = platform;
  let state: State = "idle";
  let problem: RoxyProblem | undefined;
  let transport: Transport | undefined;
  let link: Link | undefined;
  let life = 0; // counts attempts: what an earlier one says is not heard
  let running = false; // an attempt was begun and has not ended
  let wasLive = false;
  let helloAt: number | undefined;
  let heartbeat = 15_000;
  let lastByte = clock.now();
  let bye: Taken["bye"];
  let watchdog: Timer;
  let watched = false;
  let ticker: Timer;
  let ticking = false;
  let tickDue = Infinity;

  const become = (next: State, why?: RoxyProblem): void => {
    problem = why;
    if (next === state) return;
    state = next;
    note("state", next);
    options.state(next);
  };

  const silence = (): number => (helloAt === undefined ? OPENING : 2 * heartbeat + 2_000);

  const watch = (): void => {
    if (watched) return;
    watched = true;
    watchdog = clock.set(bark, Math.max(0, lastByte + silence() - clock.now()));
  };
  const rewatch = (): void => {
    clock.clear(watchdog);
    watched = false;
    watch();
  };
  const bark = (): void => {
    watched = false;
    if (!running) return;
    const late = clock.now() - lastByte - silence();
    if (late < 0) return watch();
    const mine = life;
    const byte = lastByte;
    // A page that was busy or asleep has not read yet what came.
    if (late > GRACE) return void clock.set(() => mine === life && byte === lastByte && silent(true), GRACE);
    silent(false);
  };
  const silent = (slept: boolean): void => {
    note("silent");
    if (!slept) options.missed();
    stop({ planned: slept, dead: !slept });
    if (slept) attempts.soon();
    else again();
  };

  /** Ends the attempt, or the stream, that there is. */
  const stop = (how: Down): void => {
    life++;
    clock.clear(watchdog);
    watched = false;
    link?.close();
    link = undefined;
    if (!running) return;
    running = false;
    if (helloAt !== undefined && lastByte - helloAt >= HEALTHY) attempts.healthy();
    helloAt = undefined;
    options.down(how);
  };

  const again = (asked = 0): void => {
    become(wasLive ? (platform.offline() ? "offline" : "recovering") : "connecting", problem);
    note("retry", `${Math.round(attempts.later(asked))} ms`);
  };

  const attempts = createAttempts(clock, platform.random, options.backoff, () => void start());

  const start = async (): Promise<void> => {
    const asked = options.request();
    if (!asked) return become("idle");
    stop({ planned: true });
    const mine = ++life;
    const chosen = ladder.choose();
    if (!chosen) return become("failed", new RoxyProblem("no-transport", 0, "there is no fetch here, and no other transport was given"));
    transport = chosen;
    running = true;
    bye = undefined;
    lastByte = clock.now();
    tickOn();
    become(wasLive ? "recovering" : "connecting", problem);
    note("attempt", chosen.name);
    let headers: Record<string, string>;
    try {
      headers = await calls.headers();
    } catch (error) {
      if (mine === life) ended({ problem: unreachable(error) });
      return;
    }
    if (mine !== life) return;
    watch();
    link = chosen.open(
      { ...asked, platform, url: calls.url, headers, credentials: calls.credentials, tokened: calls.tokened(), ticket: () => calls.ticket() },
      {
        opened() {
          if (mine !== life) return;
          alive();
          clock.set(() => {
            if (mine !== life || helloAt !== undefined) return;
            note("buffered", chosen.name);
            stop({});
            if (ladder.fails(chosen)) attempts.soon();
            else again();
          }, HELLO);
        },
        alive: () => mine === life && alive(),
        retry: (ms) => mine === life && attempts.rebase(ms),
        blocks: (blocks) => mine === life && take(blocks, chosen, mine),
        ended: (end) => mine === life && ended(end),
      },
    );
  };

  const alive = (): void => {
    const now = clock.now();
    const gap = now - lastByte;
    lastByte = now;
    const slept = now - tickDue > JUMP;
    if (helloAt !== undefined && !slept && gap > heartbeat + Math.max(2_000, heartbeat / 2)) options.missed();
    watch();
  };

  const take = (blocks: readonly Block[], chosen: Transport, mine: number): void => {
    const all: Taken[] = [];
    for (const block of blocks) {
      const taken = options.take(block);
      all.push(taken);
      if (taken.hello) hello(taken.hello, chosen);
      if (taken.bye) bye = taken.bye;
      if (taken.garbled !== undefined || taken.again) break; // what follows belongs behind what is missing
    }
    options.give(all);
    if (mine !== life) return; // the app closed it
    const { garbled, again: anew } = all.at(-1) ?? {};
    if (garbled !== undefined) ended({ garbled });
    else if (anew) renew("view");
    else if (bye) ended({}); // it says what is to be done; the close behind it says nothing more
  };

  const hello = (told: Hello, chosen: Transport): void => {
    helloAt = clock.now();
    heartbeat = told.heartbeat;
    rewatch();
    wasLive = true;
    ladder.works(chosen);
    calls.good();
    options.up(told);
    become("live");
  };

  const ended = (end: End): void => {
    const goodbye = bye;
    const opened = helloAt !== undefined;
    const reason = end.problem?.code ?? goodbye?.reason ?? end.garbled ?? "cut";
    note("ended", reason);
    if (end.away) return final("closed", new RoxyProblem("away", 204, "the hub wants nobody to come back"));
    if (end.renew) return renew(end.renew);
    if (end.garbled !== undefined) return final("failed", new RoxyProblem("garbled", 0, end.garbled));
    if (end.problem) return refused(end.problem);
    switch (goodbye?.reason) {
      case undefined:
        stop({});
        return again();
      case "replaced":
        // To come back at once would take the device from the other one in turn.
        return final("closed", new RoxyProblem("replaced", 0, "the device has another connection by now, or was removed"));
      case "token-expired":
      case "revoked":
        return refused(new RoxyProblem(goodbye!.reason, 401, "the hub closed the stream"));
      default:
        stop({ planned: opened && (goodbye!.reason === "drain" || goodbye!.reason === "rotate") });
        return again(goodbye!.retry);
    }
  };

  const refused = (why: RoxyProblem): void => {
    if (why.status === 401) {
      // A cookie may be a newer one by now: a stream that was live is worth one more attempt with it.
      if (!calls.stale() && helloAt === undefined) return final("needs-auth", why);
      problem = why;
      stop({ planned: true });
      become(wasLive ? "recovering" : "connecting", why);
      return attempts.soon();
    }
    problem = why;
    if (why.status === 404 || why.status === 406) {
      stop({});
      if (transport && ladder.leave(transport)) return again();
      return final("failed", why);
    }
    if (!why.passing) return final("failed", why);
    stop({});
    if (why.status === 0 && transport && !platform.offline()) void suspect(transport);
    again(why.retryAfter);
  };

  /** A transport that does not open although the hub answers otherwise is one that does not work here. */
  const suspect = async (failed: Transport): Promise<void> => {
    const mine = life;
    try {
      await calls.call({ method: "GET", path: "/v1/ping", bare: true, patience: HELLO }, true);
    } catch {
      return; // it is the network, or the hub
    }
    if (mine === life) ladder.fails(failed);
  };

  const final = (next: State, why: RoxyProblem): void => {
    stop({ dead: true });
    attempts.cancel();
    become(next, why);
  };

  const renew = (why: string): void => {
    note("renew", why);
    stop({ planned: true });
    if (state === "live") become("recovering");
    attempts.soon();
  };

  const wake = (): void => {
    if (state === "live" && clock.now() - lastByte > heartbeat) renew("wake");
  };

  const tickOn = (): void => {
    if (ticking) return;
    ticking = true;
    tickDue = clock.now() + TICK;
    const due = tickDue;
    ticker = clock.set(() => {
      ticking = false;
      if (state === "closed") return;
      tickOn();
      // Also what a browser does to the timers of hidden pages: harmless, because only a stream that brought nothing ends.
      if (clock.now() - due > JUMP) clock.set(wake, GRACE);
      if (state === "live" && ladder.choose() !== transport) renew("transport"); // an earlier choice may work by now
      options.tick();
    }, TICK);
  };

  const comeBack = (): void => {
    if (state === "failed" || state === "connecting" || state === "recovering" || state === "offline") {
      if (!running) attempts.soon();
    }
  };

  return {
    attempts,
    renew(why) {
      if (state !== "closed" && state !== "idle" && state !== "needs-auth") renew(why);
      else if (state === "idle") attempts.soon();
    },
    connect() {
      if (running) return;
      if (state === "needs-auth") calls.stale();
      if (!wasLive || state === "closed" || state === "needs-auth" || state === "failed") become(wasLive ? "recovering" : "connecting");
      attempts.soon();
    },
    close() {
      stop({ planned: true });
      attempts.cancel();
      clock.clear(ticker);
      ticking = false;
      become("closed");
    },
    pause() {
      if (state !== "live" && state !== "recovering" && state !== "connecting" && state !== "offline") return;
      stop({ planned: true });
      attempts.cancel();
      become("idle");
    },
    signal(signal) {
      note("signal", signal);
      switch (signal) {
        case "online":
          wake();
          return comeBack();
        case "visible":
        case "resume":
          wake();
          return comeBack();
        case "offline": // the stream may still work: the watchdog decides
          if (state === "recovering") become("offline", problem);
          return;
        case "hidden":
      }
    },
    state: () => state,
    problem: () => problem,
    transport: () => transport,
    hear: (type) => link?.hear?.(type),
    lastByte: () => lastByte,
  };
}
