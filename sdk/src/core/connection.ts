import { createAttempts } from "./attempts.ts";
import type { Calls } from "./calls.ts";
import { createAlarm } from "./clock.ts";
import type { ClientOptions, Inspection } from "./api.ts";
import type { Platform, Signal } from "./platform.ts";
import { RoxyProblem, unreachable } from "./problem.ts";
import type { Down, Gauge } from "./quality.ts";
import type { Hello } from "./take.ts";
import type { Block, End, Link, Sink, StreamRequest, Transport } from "./transport.ts";

/**
 * Where a client stands. `recovering` was live and comes back by itself, `offline` when the device says why; `needs-auth`
 * waits for another token, `failed` for connect(), the network or somebody who looks at the page; `closed` for connect().
 */
export type State = "idle" | "connecting" | "live" | "recovering" | "offline" | "needs-auth" | "failed" | "closed";

/** A stream that brings nothing for so long, where a hello is to come, is held back by something on the way. */
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

/** How long a transport that does not work here is left out. It is never given up: networks change, and so do proxies. */
const LEFT_OUT = 1_800_000;

/** What goodbyes mean that are refusals. A device whose place was taken would take it back in turn, and so on: nobody comes back. */
const GOODBYES: Readonly<Record<string, number | undefined>> = { replaced: 204, "token-expired": 401, revoked: 401 };

/** What a connection asks of its client, and tells it. */
export interface Side {
  /** What to ask for; undefined when there is nothing. */
  request(): Omit<StreamRequest, "platform" | "headers" | keyof Calls> | undefined;
  /** Gives the app what came at once. A hello is told to greet before. Returns whether the stream ends by it. */
  take(blocks: readonly Block[], greet: (hello: Hello) => void): End;
  /** Where it stands: told of each stream that is live, with its hello, and of what is not. */
  become(state: State, hello: Hello | undefined): void;
}

/** One client's stream over all its connections. */
export interface Connection {
  /** Connects, or goes on after an end that was final. */
  connect(): void;
  /** Connects anew when something else is to be asked for. */
  renew(why: string): void;
  /** Ends the stream; connect may begin it again. */
  close(): void;
  signal(signal: Signal): void;
  hear(type: string): void;
  inspect(): Pick<Inspection, "state" | "problem" | "transport" | "connection" | "failures">;
}

/** Tries transports in their order. */
export function createConnection(
  platform: Platform,
  calls: Calls,
  gauge: Gauge,
  ways: readonly Transport[],
  { backoff, hiddenAfter = Infinity }: Pick<ClientOptions, "backoff" | "hiddenAfter">,
  note: (kind: string, detail?: string) => void,
  client: Side,
): Connection {
  const { clock } = platform;
  const transports = ways.filter((each) => each.usable(platform));
  /** Until when transports that failed are left out; the first time until a moment that has passed. When one is tried again, once is enough. */
  const leftOut = new Map<Transport, number>();
  let state: State = "idle";
  let problem: RoxyProblem | undefined;
  let transport: Transport | undefined; // of an attempt that was begun and has not ended
  let link: Link | undefined;
  let life = 0; // counts attempts and their ends
  let connection: string | undefined;
  let liveAt: number | undefined; // when the last stream was
  let heartbeat = 15_000;
  let lastByte = 0;
  const watchdog = createAlarm(clock);
  const ticker = createAlarm(clock);
  let tickDue = Infinity;
  let hiddenAt = clock.now();

  const become = (next: State, hello?: Hello): void => {
    if (next !== state) note("state", next);
    state = next;
    client.become(next, hello);
  };

  /** The state of a client that is not live and wants to be. */
  const away = (): State => (!liveAt ? "connecting" : platform.offline() ? "offline" : "recovering");
  /** Whether it does without a stream until somebody looks. */
  const unseen = (): boolean => platform.hidden() && clock.now() - hiddenAt >= hiddenAfter;
  /** Whether it takes the app to go on. */
  const over = (): boolean => state === "closed" || state === "needs-auth";

  /** Returns tell, which is not heard once the attempt or the stream of now has ended. */
  const heard = <Args extends unknown[]>(tell: (...args: Args) => void): ((...args: Args) => void) => {
    const mine = life;
    return (...args) => mine === life && tell(...args);
  };
  /** Does something if the hub answers otherwise. */
  const probe = (then: () => void): void => void calls.ping().then(heard(then), () => {});

  /** Returns the first transport that works; when all are left out, the one whose time is up first. */
  const choose = (): Transport | undefined => {
    const now = clock.now();
    const free = (each: Transport): number => Math.max(now, leftOut.get(each) ?? 0);
    return [...transports].sort((a, b) => free(a) - free(b))[0];
  };
  /** A transport opened without a hello, or did not open although the hub answers otherwise: the second time in a row it is left, or when it surely cannot work here. */
  const fails = (failed: Transport, surely = leftOut.has(failed)): void => void leftOut.set(failed, surely ? clock.now() + LEFT_OUT : 0);

  /** Ends the attempt, or the stream, that there is. */
  const stop = (how: Down): void => {
    life++;
    watchdog();
    link?.close();
    link = transport = undefined;
    connection = undefined;
    gauge.turn(how);
  };

  /** And comes back: as soon as may be, or after a failure's wait and no sooner than the hub asks for. */
  const again = (how: Down = "planned", asked?: number): void => {
    stop(how);
    become(away());
    note("retry", `${attempts.begin(asked)} ms`);
  };

  /** And stays away. */
  const rest = (next: State, why?: RoxyProblem): void => {
    stop(why ? "dead" : "planned");
    attempts.cancel();
    ticker();
    problem = why;
    become(next);
  };

  const renew = (why: string): void => {
    if (over()) return;
    note("renew", why);
    again();
  };

  /** Waits for a silence; with grace, for what came meanwhile to be read. */
  const watch = (grace = 0): void => {
    const limit = state === "live" ? 2 * heartbeat + 2_000 : OPENING;
    watchdog(() => {
      const late = clock.now() - lastByte - limit;
      if (late < 0) return watch();
      // A page that was busy or asleep has not read yet what came.
      if (late > GRACE && !grace) return watch(GRACE);
      note("silent");
      if (grace) return again();
      gauge.see("missed");
      again("dead", 0);
    }, grace || lastByte + limit - clock.now());
  };

  const start = (): void => {
    const asked = client.request();
    if (!asked || unseen()) return rest("idle");
    const chosen = choose();
    if (!chosen) return rest("failed", new RoxyProblem("no-transport", 0));
    transport = chosen;
    life++;
    tick();
    become(away());
    note("attempt", chosen.name);
    // Some proxies hold back the header, too: then the hub answers otherwise.
    const late = (): void => {
      watch();
      probe(held);
    };
    const sink: Sink = { alive: heard(alive), blocks: heard(take), ended: heard(ended) };
    const open = (headers: Record<string, string>): void => {
      watchdog(late, HELLO);
      link = chosen.open({ ...calls, ...asked, platform, headers }, sink);
    };
    lastByte = clock.now();
    watch(); // also for who gives the token
    calls.headers().then(heard(open)).catch(heard((error: unknown) => ended({ problem: unreachable(error) })));
  };

  const attempts = createAttempts(clock, platform.random, backoff, start);

  const alive = (): void => {
    const now = clock.now();
    const gap = now - lastByte;
    lastByte = now;
    const slept = now - tickDue > JUMP;
    if (state !== "live") return watchdog(held, HELLO);
    if (now - liveAt! >= HEALTHY) attempts.failures = 0;
    if (!slept && gap > heartbeat + Math.max(2_000, heartbeat / 2)) gauge.see("missed");
  };

  /** Something holds back what is to come. */
  const held = (): void => {
    if (state === "live") return;
    note("buffered", transport!.name);
    fails(transport!);
    again("dropped", 0);
  };

  const take = (blocks: readonly Block[]): void => {
    const end = heard(ended); // unless the app closes it
    const how = client.take(blocks, greet);
    if (how.problem || how.renew || how.bye) end(how); // the close behind a goodbye says nothing more
  };

  const greet = (hello: Hello): void => {
    liveAt = clock.now();
    ({ heartbeat, connection } = hello);
    attempts.base = hello.retry || attempts.base;
    problem = undefined;
    leftOut.delete(transport!);
    calls.good();
    gauge.turn();
    become("live", hello);
    watch();
  };

  const ended = ({ problem: why, renew: other, bye: { reason = "cut", retry = 0 } = {} }: End): void => {
    const status = GOODBYES[reason];
    const refusal = why ?? (status ? new RoxyProblem(reason, status) : undefined);
    note("ended", other ?? refusal?.code ?? reason);
    if (other) again();
    else if (refusal) refused(refusal);
    else again(reason === "drain" ? "planned" : "dropped", retry);
  };

  const refused = (why: RoxyProblem): void => {
    const { status, passing, retryAfter } = why;
    const failed = link && transport; // not when there was no token
    const elsewhere = [404, 406].includes(status) && transports.length > 1;
    if (elsewhere) fails(transport!, true);
    problem = why;
    if (status === 401) {
      // A cookie may be a newer one by now: a stream that was live is worth one more attempt with it.
      if (calls.stale() || state === "live") again();
      else rest("needs-auth", why);
    } else if (passing || elsewhere) {
      again("dropped", retryAfter);
      // A transport that does not open although the hub answers otherwise is one that does not work here. Else it is the network, or the hub.
      if (failed && status === 0) probe(() => fails(failed));
    } else rest(status === 204 ? "closed" : "failed", why);
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
    if (unseen()) rest("idle");
    else if (state === "live" && choose() !== transport) renew("transport"); // an earlier choice may work by now
    gauge.evaluate();
  };

  return {
    renew,
    connect() {
      if (transport) return;
      become(away());
      attempts.begin();
    },
    close: () => rest("closed"),
    signal(signal) {
      note("signal", signal);
      if (over()) return;
      if (state === "offline" || state === "recovering") become(away());
      if (signal === "hidden") hiddenAt = clock.now();
      // A browser would throw a page away whose stream goes on, and a page that is kept keeps its tab's lock.
      else if (signal === "pagehide") rest("idle");
      // A stream that is offline may still work: the watchdog decides.
      else if (signal !== "offline") {
        wake();
        if (!transport) attempts.begin();
      }
    },
    hear: (type) => link?.hear?.(type),
    inspect: () => ({ state, problem, transport: transport?.name, connection, failures: attempts.failures }),
  };
}
