import fc from "fast-check";
import { expect, test } from "vitest";
import { createCore, type Client, type ClientOptions } from "../src/core/client.ts";
import type { Platform, Signal } from "../src/core/platform.ts";
import { RoxyProblem } from "../src/core/problem.ts";
import type { Sink, StreamRequest, Transport } from "../src/core/transport.ts";
import { createFakeClock, type FakeClock } from "./clock.ts";

/** A client on a platform whose time, network and page the test plays. */
interface Stage {
  readonly clock: FakeClock;
  readonly client: Client;
  /** When attempts began, and with what. */
  readonly attempts: { at: number; over: string; request: StreamRequest }[];
  /** The stream that is open. */
  sink(): Sink;
  hello(heartbeat?: string, retry?: number): void;
  live(offset: number): void;
  signal(signal: Signal): void;
  hidden: boolean;
  pings: number;
  /** Whether pings are answered. */
  answers: boolean;
}

function stage(options: Partial<ClientOptions> = {}, names: readonly Transport["name"][] = ["ws"]): Stage {
  const clock = createFakeClock();
  const attempts: Stage["attempts"] = [];
  const watchers = new Set<(signal: Signal) => void>();
  let current: Sink | undefined;
  let seed = 7;
  const platform: Platform = {
    clock,
    random: () => (seed = (seed * 48271) % 2147483647) / 2147483647,
    hex: (bytes) => "0".repeat(2 * bytes),
    absolute: (url) => url,
    abort: () => ({ signal: undefined, abort() {} }),
    decoder: () => new TextDecoder(),
    base64: atob,
    hidden: () => self.hidden,
    offline: () => false,
    report: (error) => {
      throw error;
    },
    watch(listener) {
      watchers.add(listener);
      return () => void watchers.delete(listener);
    },
    fetch: async (url) => {
      if (!url.endsWith("/v1/ping")) throw new Error(`nobody answers ${url}`);
      self.pings++;
      if (!self.answers) throw new Error("no network");
      const text = async (): Promise<string> => JSON.stringify({ time: new Date(clock.now()).toISOString() });
      return { status: 200, headers: { get: () => null }, body: null, text };
    },
  };
  const transports = names.map((name): Transport => ({
    name,
    usable: () => true,
    open(request, sink) {
      attempts.push({ at: clock.now(), over: name, request });
      let open = true;
      current = Object.fromEntries(Object.entries(sink).map(([key, tell]) => [key, (...args: never[]) => open && (tell as (...a: never[]) => void)(...args)])) as unknown as Sink;
      return { close: () => void (open = false) };
    },
  }));
  const { fetch, ...blind } = platform;
  // The core has a fetch stream of its own; the stage is only seen by transports that are handed in.
  const shown: Platform = { ...blind, get fetch() { return new Error().stack?.includes("usable") ? undefined : fetch; } } as Platform;
  const client = createCore(shown, { url: "http://hub", topics: ["orders/*"], transports, ...options });
  const self: Stage = {
    clock,
    client,
    attempts,
    hidden: false,
    pings: 0,
    answers: true,
    sink: () => current!,
    signal: (signal) => watchers.forEach((tell) => tell(signal)),
    hello(heartbeat = "15s", retry = 500) {
      current!.alive();
      const time = new Date(clock.now()).toISOString();
      current!.blocks([{ event: "roxy:hello", id: "e.0", data: { connection: "c", cursor: "e.0", view: "v", epoch: "e", heartbeat, retry, time } }]);
    },
    live: (offset) => current!.blocks([{ event: "roxy:live", id: `e.${offset}`, data: { cursor: `e.${offset}`, replayed: 0 } }]),
  };
  return self;
}

/** A stage whose stream is live. */
async function liveStage(options: Partial<ClientOptions> = {}, names?: readonly Transport["name"][]): Promise<Stage> {
  const s = stage(options, names);
  s.client.connect();
  await s.clock.go(0);
  s.hello();
  s.live(0);
  return s;
}

const beat = (s: Stage): void => {
  s.sink().alive();
  s.sink().blocks([{ event: "roxy:heartbeat", data: { time: new Date(s.clock.now()).toISOString() } }]);
};

test("no two attempts are less than a second apart, whatever hub, network and page do", async () => {
  const happening = fc.oneof(
    fc.constantFrom<Signal>("online", "offline", "visible", "hidden", "resume", "pagehide", "pageshow").map((signal) => (s: Stage) => s.signal(signal)),
    fc.constantFrom(401, 403, 404, 406, 408, 429, 503, 0).map((status) => (s: Stage) => s.sink()?.ended({ problem: new RoxyProblem("x", status, "", 0) })),
    fc.constantFrom("drain", "token-expired", "revoked", "slow", "overload").map((reason) => (s: Stage) => s.sink()?.blocks([{ event: "roxy:bye", data: { reason, retry: 0 } }])),
    fc.constant((s: Stage) => s.sink()?.ended({})),
    fc.constant((s: Stage) => s.sink() && s.hello()),
    fc.constant((s: Stage) => s.sink() && s.hello("15s", 1)),
    fc.constant((s: Stage) => s.client.connect()),
    fc.constant((s: Stage) => s.client.close()),
    fc.nat(9).map((n) => (s: Stage) => void s.client.retain([`tables/${n}`])()),
    fc.integer({ min: 0, max: 3_000 }).map((ms) => (s: Stage) => s.clock.go(ms)),
    fc.integer({ min: 0, max: 90_000 }).map((ms) => (s: Stage) => s.clock.go(ms)),
    fc.integer({ min: 0, max: 900_000 }).map((ms) => (s: Stage) => s.clock.sleep(ms)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 60 }), async (script) => {
      const s = stage({ token: "t", onError: () => {} }, ["ws", "eventsource"]);
      s.client.connect();
      for (const happen of script) await happen(s);
      s.client.close();
      await s.clock.go(60_000);
      s.attempts.forEach(({ at }, i) => i > 0 && expect(at - s.attempts[i - 1]!.at).toBeGreaterThanOrEqual(1_000));
      s.attempts.forEach(({ at }, i) => i >= 20 && expect(at - s.attempts[i - 20]!.at).toBeGreaterThanOrEqual(60_000));
    }),
    { numRuns: 200 },
  );
});

test("a client that is neither closed nor refused for good comes back, whatever happened", async () => {
  const happening = fc.oneof(
    fc.constantFrom<Signal>("online", "offline", "visible", "resume").map((signal) => (s: Stage) => s.signal(signal)),
    fc.constantFrom(408, 429, 500, 503, 0).map((status) => (s: Stage) => s.sink().ended({ problem: new RoxyProblem("x", status, "") })),
    fc.constantFrom("drain", "slow", "overload").map((reason) => (s: Stage) => s.sink().blocks([{ event: "roxy:bye", data: { reason, retry: 100 } }])),
    fc.constant((s: Stage) => s.sink().ended({})),
    fc.integer({ min: 0, max: 40_000 }).map((ms) => (s: Stage) => s.clock.go(ms)),
    fc.integer({ min: 0, max: 900_000 }).map((ms) => (s: Stage) => s.clock.sleep(ms)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 40 }), async (script) => {
      const s = await liveStage();
      for (const happen of script) await happen(s);
      const before = s.attempts.length;
      await s.clock.go(120_000); // a stream that is open brings nothing, so the watchdog ends it
      expect(s.attempts.length).toBeGreaterThan(before);
    }),
    { numRuns: 200 },
  );
});

test("what the hub asks for is waited, whatever the page does", async () => {
  const s = await liveStage();
  s.sink().ended({ problem: new RoxyProblem("rate-limited", 429, "", 20_000) });
  const from = s.clock.now();
  for (let i = 0; i < 19; i++) {
    await s.clock.go(1_000);
    s.signal("online");
    s.signal("visible");
  }
  expect(s.attempts).toHaveLength(1);
  await s.clock.go(1_000);
  expect(s.attempts.map(({ at }) => at - from)).toEqual([expect.any(Number), 20_000]);
});

test("a stream that says nothing for two heartbeats and 2 s is replaced, and one that speaks is not", async () => {
  const s = await liveStage();
  for (let i = 0; i < 20; i++) {
    await s.clock.go(15_000);
    beat(s);
  }
  expect(s.attempts).toHaveLength(1);
  await s.clock.go(31_999);
  expect(s.client.state.get()).toBe("live");
  await s.clock.go(1);
  expect(s.client.state.get()).toBe("recovering");
  expect(s.client.quality.get()).toMatchObject({ quality: "poor", reasons: ["disconnected"] });
  await s.clock.go(1_000);
  expect(s.attempts).toHaveLength(2);
});

test("a page that was busy reads what came before its stream counts as silent", async () => {
  const s = await liveStage();
  const sleeping = s.clock.sleep(60_000);
  beat(s); // was in the socket all the time
  await sleeping;
  await s.clock.go(2_000);
  expect(s.client.inspect().quality.missedHeartbeats).toBe(0);
  expect(s.client.state.get()).toBe("live");
  expect(s.attempts).toHaveLength(1);
});

test.each<Signal>(["visible", "resume", "online"])("on %s a stream that is older than its heartbeat is replaced at once, and a fresh one is not", async (signal) => {
  const s = await liveStage();
  await s.clock.go(14_000);
  s.signal(signal);
  await s.clock.go(0);
  expect(s.attempts).toHaveLength(1);
  await s.clock.go(2_000);
  s.signal(signal);
  await s.clock.go(0);
  expect(s.attempts).toHaveLength(2);
  s.hello();
  s.live(0);
  expect(s.client.quality.get()).toMatchObject({ quality: "good", drops: 0, missedHeartbeats: 0 });
});

test("after sleep the clock's jump is noticed without any signal", async () => {
  const s = await liveStage();
  await s.clock.sleep(20_000);
  await s.clock.go(1_000);
  expect(s.attempts).toHaveLength(2);
});

test("offline alone ends no stream", async () => {
  const s = await liveStage();
  s.signal("offline");
  await s.clock.go(5_000);
  expect(s.client.state.get()).toBe("live");
});

test("a page that is switched away from and back again goes on with its stream", async () => {
  const s = await liveStage();
  for (let i = 0; i < 10; i++) {
    s.signal("hidden");
    await s.clock.go(5_000);
    s.signal("visible");
    beat(s);
  }
  expect(s.attempts).toHaveLength(1);
});

test("hiddenAfter ends the stream of a hidden page, which comes back when it is seen", async () => {
  const s = await liveStage({ hiddenAfter: 60_000 });
  s.hidden = true;
  s.signal("hidden");
  for (let i = 0; i < 5; i++) {
    await s.clock.go(10_000);
    beat(s);
  }
  expect(s.client.state.get()).toBe("live");
  await s.clock.go(15_000);
  expect(s.client.state.get()).toBe("idle");
  s.signal("online");
  s.client.retain(["tables/*"]);
  await s.clock.go(60_000);
  expect(s.client.state.get()).toBe("idle");
  expect(s.attempts).toHaveLength(1);
  s.hidden = false;
  s.signal("visible");
  await s.clock.go(0);
  expect(s.attempts).toHaveLength(2);
});

test("a page that the browser keeps lets its stream go at once, and has it again when it is shown, not before a second nor a failure's wait", async () => {
  const s = await liveStage({ backoff: { base: 30_000 } });
  await s.clock.go(2_000);
  s.signal("pagehide");
  s.signal("hidden");
  expect(s.client.state.get()).toBe("idle");
  await s.clock.sleep(500_000);
  s.signal("pageshow");
  s.signal("visible");
  await s.clock.go(0);
  expect(s.attempts).toHaveLength(2);
  s.signal("pagehide");
  s.signal("pageshow");
  await s.clock.go(999);
  expect(s.attempts).toHaveLength(2);
  await s.clock.go(1);
  expect(s.attempts).toHaveLength(3);
  s.client.close();
  s.signal("pagehide");
  s.signal("pageshow");
  expect(s.client.state.get()).toBe("closed");
});

test("who gives the token and never answers is asked again", async () => {
  let asked = 0;
  const s = stage({ token: () => (asked++ ? "t" : new Promise(() => {})) });
  s.client.connect();
  await s.clock.go(29_999);
  expect([asked, s.attempts.length]).toEqual([1, 0]);
  await s.clock.go(2_000);
  expect(asked).toBe(2);
  s.hello();
  expect(s.client.state.get()).toBe("live");
});

test("a heartbeat of less than a second is one", async () => {
  const s = await liveStage();
  s.hello("500ms");
  await s.clock.go(2_999);
  expect(s.client.state.get()).toBe("live");
  await s.clock.go(1);
  expect(s.client.state.get()).toBe("recovering");
});

test("a stream that opens without a hello twice is held back: the next transport, and the first again half an hour later", async () => {
  const s = stage({}, ["eventsource", "ws"]);
  s.client.connect();
  await s.clock.go(0);
  for (const _ of [1, 2]) {
    s.sink().alive();
    await s.clock.go(9_000); // less than a stream may take to open where the hub answers
  }
  expect(s.attempts.map(({ over }) => over)).toEqual(["eventsource", "eventsource", "ws"]);
  s.hello();
  s.live(0);
  for (let i = 0; i < 125; i++) {
    await s.clock.go(15_000);
    if (s.client.state.get() === "live") beat(s);
    else if (s.attempts.length >= 4) break;
  }
  expect(s.attempts.map(({ over }) => over).slice(3, 4)).toEqual(["eventsource"]);
});

test("a stream that brings nothing, not even a header, is held back where the hub answers otherwise", async () => {
  const down = stage({}, ["eventsource", "ws"]);
  down.answers = false;
  const held = stage({}, ["eventsource", "ws"]);
  for (const s of [down, held]) {
    s.client.connect();
    await s.clock.go(20_000);
  }
  expect(down.attempts.map(({ over }) => over)).toEqual(["eventsource"]); // it is slow, or there is no network
  expect(held.attempts.map(({ over }) => over).slice(0, 3)).toEqual(["eventsource", "eventsource", "ws"]);
});

test("a transport that does not open although the hub answers is left, and one without a network is not", async () => {
  const down = stage({}, ["eventsource", "ws"]);
  down.answers = false;
  const blocked = stage({}, ["eventsource", "ws"]);
  for (const s of [down, blocked]) {
    s.client.connect();
    await s.clock.go(0);
    for (let i = 0; i < 3; i++) {
      s.sink().ended({ problem: new RoxyProblem("network", 0, "refused") });
      await s.clock.go(30_000);
    }
  }
  expect(new Set(down.attempts.map(({ over }) => over))).toEqual(new Set(["eventsource"]));
  expect(blocked.attempts.map(({ over }) => over).slice(0, 3)).toEqual(["eventsource", "eventsource", "ws"]);
});

test("a device whose place was taken stays away until it is told to connect", async () => {
  const s = await liveStage({ device: "till-1" });
  s.sink().blocks([{ event: "roxy:bye", data: { reason: "replaced", retry: 600_000 } }]);
  expect(s.client.state.get()).toBe("closed");
  for (const signal of ["online", "visible", "resume"] as const) s.signal(signal);
  await s.clock.go(3_600_000);
  expect(s.attempts).toHaveLength(1);
  s.client.connect();
  await s.clock.go(0);
  expect(s.attempts).toHaveLength(2);
});

test("a client that was closed goes on when it connects again, with nothing twice", async () => {
  const s = await liveStage({ after: "e.0" });
  const heard: unknown[] = [];
  s.client.subscribe("x", ({ data }) => heard.push(data));
  for (let life = 0; life < 3; life++) {
    for (const n of [life, life + 1]) s.sink().blocks([{ event: "x", id: `e.${n + 1}`, data: { topic: "orders/1", time: "", data: n } }]);
    s.client.close();
    await s.clock.go(5_000);
    s.client.connect();
    await s.clock.go(0);
    s.hello();
  }
  expect(heard).toEqual([0, 1, 2, 3]);
  expect(s.attempts.map(({ request }) => request.after)).toEqual(["e.0", "e.2", "e.3", "e.4"]);
});

test("it resumes behind the last event", async () => {
  const s = await liveStage({ after: "e.0" });
  s.sink().blocks([{ event: "x", id: "e.7", data: { topic: "orders/1", time: "", data: 1 } }]);
  s.sink().ended({});
  await s.clock.go(1_000);
  expect(s.attempts.map(({ request }) => request.after)).toEqual(["e.0", "e.7"]);
});

test("a short absence is not lost, a longer one is until it is back", async () => {
  const s = await liveStage();
  s.sink().ended({});
  await s.clock.go(4_999);
  expect(s.client.lost.get()).toBe(false);
  await s.clock.go(1);
  expect(s.client.lost.get()).toBe(true);
  s.hello();
  expect(s.client.lost.get()).toBe(false);
});

test("there are three pings a minute at most, and none while nobody looks", async () => {
  const s = await liveStage();
  let before = 0;
  for (let minute = 0; minute < 10; minute++) {
    for (let i = 0; i < 4; i++) {
      await s.clock.go(15_000);
      beat(s);
    }
    expect(s.pings - before).toBeLessThanOrEqual(3);
    before = s.pings;
  }
  expect(before).toBeGreaterThan(0);
  s.hidden = true;
  for (let i = 0; i < 40; i++) {
    await s.clock.go(15_000);
    beat(s);
  }
  expect(s.pings).toBe(before);
});

test("500 replayed events say nothing of the quality", async () => {
  const s = stage();
  s.client.connect();
  await s.clock.go(0);
  s.hello();
  const old = Array.from({ length: 500 }, (_, i) => ({ event: "x", id: `e.${i + 1}`, data: { topic: "orders/1", time: "2020-01-01T00:00:00Z", data: i } }));
  s.sink().blocks(old);
  s.live(500);
  for (let i = 0; i < 8; i++) {
    await s.clock.go(10_000);
    beat(s);
  }
  expect(s.client.quality.get()).toMatchObject({ quality: "excellent", confident: true });
  expect(s.client.quality.get().lagMs).toBeUndefined();
});

test("a handler that throws is reported, and keeps nothing from the others", async () => {
  const errors: unknown[] = [];
  const s = await liveStage({ topics: ["orders/*", "tables/*"], onError: (error) => errors.push(error) });
  const heard: unknown[] = [];
  s.client.subscribe("x", () => {
    throw new Error("mine");
  });
  const stop = s.client.subscribe("x", ({ data }) => heard.push(data));
  s.client.subscribe("x", ({ data }) => heard.push(data), { topic: "tables/*" });
  s.sink().blocks([{ event: "x", id: "e.1", data: { topic: "orders/1", time: "", data: 1 } }]);
  expect(heard).toEqual([1]);
  expect(errors).toMatchObject([{ message: "mine" }]);
  stop();
  stop();
  s.sink().blocks([{ event: "x", id: "e.2", data: { topic: "orders/1", time: "", data: 2 } }]);
  expect(heard).toEqual([1]);
});

test("a topic that is let go and wanted again within 2 s opens no other stream", async () => {
  const s = await liveStage();
  const release = s.client.retain(["tables/*"]);
  await s.clock.go(1_000);
  s.hello();
  s.live(0);
  for (let i = 0; i < 3; i++) {
    release();
    const again = s.client.retain(["tables/*"]);
    await s.clock.go(1_500);
    again();
    await s.clock.go(1_500);
    beat(s);
    s.client.retain(["tables/*"]);
  }
  expect(s.attempts).toHaveLength(2);
});
