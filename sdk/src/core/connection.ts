import { createAttempts, type Backoff } from "./attempts.ts";
import type { Calls } from "./calls.ts";
import { createAlarm } from "./clock.ts";
import type { Ladder } from "./ladder.ts";
import type { Platform, Signal } from "./platform.ts";
import { RoxyProblem, unreachable } from "./problem.ts";
import type { Down } from "./quality.ts";
import type { Hello, Taken } from "./take.ts";
import type { Block, End, Link, Sink, StreamRequest, Transport } from "./transport.ts";

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

/** What goodbyes mean that are refusals. A device whose place was taken would take it back in turn, and so on: nobody comes back. */
const GOODBYES: Readonly<Record<string, number>> = { replaced: 204, "token-expired": 401, revoked: 401 };

export interface ConnectionOptions {
  readonly platform: Platform;
  readonly calls: Calls;
  readonly ladder: Ladder;
  readonly backoff: Backoff;
  /** What to ask for; undefined when there is nothing. */
  request(): Omit<StreamRequest, "platform" | "url" | "headers" | "credentials" | "tokened" | "ticket"> | undefined;
  take(blocks: readonly Block[]): Taken;
  /** Gives the app what came at once. */
  give(taken: Taken): void;
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
  problem(): RoxyProblem | undefined;
  transport(): Transport | undefined;
  hear(type: string): void;
  /** Failures in a row. */
  failures(): number;
}

export function createConnection(options: ConnectionOptions): Connection {
  const { platform, calls, ladder, note } = options;
  const { clock } = platform;
  let state: State = "idle";
  let problem: RoxyProblem | undefined;
  let transport: Transport | undefined;
  let link: Link | undefined;
  let life = 0; // counts attempts and their ends: what an earlier one says is not heard
  let running = false; // an attempt was begun and has not ended
  let wasLive = false;
  let helloAt: number | undefined;
  let heartbeat = 15_000;
  let lastByte = 0;
  let bye: Taken["bye"];
  const watchdog = createAlarm(clock);
  const ticker = createAlarm(clock);
  let tickDue = Infinity;

  const become = (next: State): void => {
    if (next === state) return;
    state = next;
    note("state", next);
    options.state(next);
  };

  /** The state of a client that is not live and wants to be. */
  const away = (): State => (!wasLive ? "connecting" : platform.offline() ? "offline" : "recovering");
  /** Whether it takes the app to go on. */
  const over = (): boolean => state === "closed" || state === "needs-auth";

  /** Ends the attempt, or the stream, that there is. */
  const stop = (how: Down): void => {
    life++;
    watchdog();
    link?.close();
    link = undefined;
    running = false;
    if (helloAt !== undefined && lastByte - helloAt >= HEALTHY) attempts.healthy();
    helloAt = undefined;
    options.down(how);
  };

  /** And comes back: as soon as may be, or after a failure's wait and no sooner than the hub asks for. */
  const again = (how: Down, asked?: number): void => {
    stop(how);
    become(away());
    if (asked === undefined) attempts.soon();
    else note("retry", `${attempts.later(asked)} ms`);
  };

  /** And stays away. */
  const rest = (next: State, how: Down, why?: RoxyProblem): void => {
    stop(how);
    attempts.cancel();
    ticker();
    tickDue = Infinity;
    problem = why;
    become(next);
  };

  const renew = (why: string): void => {
    note("renew", why);
    again("planned");
  };

  const watch = (): void => {
    const limit = helloAt === undefined ? OPENING : 2 * heartbeat + 2_000;
    const byte = lastByte;
    watchdog(() => {
      const late = clock.now() - lastByte - limit;
      if (late < 0) watch();
      // A page that was busy or asleep has not read yet what came.
      else if (late > GRACE) watchdog(() => (byte === lastByte ? silent("planned") : watch()), GRACE);
      else silent("dead");
    }, byte + limit - clock.now());
  };

  const silent = (how: Down): void => {
    note("silent");
    if (how === "planned") return again(how);
    options.missed();
    again(how, 0);
  };

  const start = (): void => {
    const asked = options.request();
    if (!asked) return rest("idle", "planned");
    transport = ladder.choose();
    if (!transport) return rest("failed", "dead", new RoxyProblem("no-transport", 0));
    const chosen = transport;
    const mine = ++life;
    const heard =
      <Args extends unknown[]>(tell: (...args: Args) => void) =>
      (...args: Args): void => {
        if (mine === life) tell(...args);
      };
    running = true;
    bye = undefined;
    if (tickDue === Infinity) tick();
    become(away());
    note("attempt", chosen.name);
    const { url, credentials, tokened, ticket } = calls;
    let answered = false;
    const held = heard(() => {
      if (helloAt !== undefined) return;
      note("buffered", chosen.name); // something holds back what comes
      again("dropped", ladder.fails(chosen) ? undefined : 0);
    });
    const opened = (): void => {
      answered = true;
      alive();
      clock.set(held, HELLO);
    };
    // Some proxies hold back the header, too: then the hub answers otherwise.
    const late = (): void => void (answered || calls.ping().then(held, () => {}));
    const sink: Sink = { opened: heard(opened), alive: heard(alive), retry: heard(attempts.rebase), blocks: heard(take), ended: heard(ended) };
    const open = (headers: Record<string, string>): void => {
      lastByte = clock.now();
      watch();
      clock.set(heard(late), HELLO);
      link = chosen.open({ ...asked, platform, url, headers, credentials, tokened, ticket }, sink);
    };
    calls.headers().then(heard(open)).catch(heard((error: unknown) => ended({ problem: unreachable(error) })));
  };

  const attempts = createAttempts(clock, platform.random, options.backoff, start);

  const alive = (): void => {
    const now = clock.now();
    const gap = now - lastByte;
    lastByte = now;
    const slept = now - tickDue > JUMP;
    if (helloAt !== undefined && !slept && gap > heartbeat + Math.max(2_000, heartbeat / 2)) options.missed();
  };

  const take = (blocks: readonly Block[]): void => {
    const mine = life;
    const taken = options.take(blocks);
    if (taken.hello) hello(taken.hello);
    bye = taken.bye;
    options.give(taken);
    if (mine !== life) return; // the app closed it
    if (taken.again) renew("view");
    else if (taken.problem || bye) ended(taken); // the close behind a goodbye says nothing more
  };

  const hello = (told: Hello): void => {
    helloAt = clock.now();
    heartbeat = told.heartbeat;
    watch();
    wasLive = true;
    problem = undefined;
    ladder.works(transport!);
    calls.good();
    options.up(told);
    become("live");
  };

  const ended = ({ problem: why, renew: other }: End): void => {
    const { reason = "cut", retry = 0 } = bye ?? {};
    const status = GOODBYES[reason];
    note("ended", why?.code ?? other ?? reason);
    if (other) again("planned");
    else if (why) refused(why);
    else if (status) refused(new RoxyProblem(reason, status));
    else again(reason === "drain" ? "planned" : "dropped", retry);
  };

  const refused = (why: RoxyProblem): void => {
    const { status, passing, retryAfter } = why;
    const failed = link && transport; // not when there was no token
    problem = why;
    if (status === 401) {
      // A cookie may be a newer one by now: a stream that was live is worth one more attempt with it.
      if (calls.stale() || helloAt !== undefined) again("planned");
      else rest("needs-auth", "dead", why);
    } else if (passing || ([404, 406].includes(status) && ladder.leave(transport!))) {
      again("dropped", retryAfter);
      if (failed && status === 0 && !platform.offline()) suspect(failed);
    } else rest(status === 204 ? "closed" : "failed", "dead", why);
  };

  /** A transport that does not open although the hub answers otherwise is one that does not work here. */
  const suspect = (failed: Transport): void => {
    const mine = life;
    calls.ping().then(
      () => mine === life && ladder.fails(failed),
      () => {}, // it is the network, or the hub
    );
  };

  const wake = (): void => {
    if (state === "live" && clock.now() - lastByte > heartbeat) renew("wake");
  };

  const tick = (): void => {
    const now = clock.now();
    // Also what a browser does to the timers of hidden pages: harmless, because only a stream that brought nothing ends.
    if (now - tickDue > JUMP) clock.set(wake, GRACE);
    tickDue = now + TICK;
    ticker(tick, TICK);
    if (state === "live" && ladder.choose() !== transport) renew("transport"); // an earlier choice may work by now
    options.tick();
  };

  return {
    renew(why) {
      if (!over()) renew(why);
    },
    connect() {
      if (running) return;
      if (state === "needs-auth") calls.stale();
      problem = undefined;
      become(away());
      attempts.soon();
    },
    close: () => rest("closed", "planned"),
    pause() {
      if (!over()) rest("idle", "planned");
    },
    signal(signal) {
      note("signal", signal);
      if (state === "offline" || state === "recovering") become(away());
      // A stream that is offline may still work: the watchdog decides.
      if (signal === "offline" || signal === "hidden") return;
      wake();
      if (!running && !over() && (state !== "idle" || signal === "visible")) attempts.soon();
    },
    problem: () => problem,
    transport: () => transport,
    hear: (type) => link?.hear?.(type),
    failures: attempts.failures,
  };
}
