import { expect, onTestFinished, test } from "vitest";
import { globalPlatform } from "../src/browser.ts";
import { eventSource } from "../src/eventsource.ts";
import { createClient, type Clock, type RoxyEvent } from "../src/index.ts";
import { webSocket } from "../src/ws.ts";
import { ALL, clientOf, live, numbers, until } from "./client.ts";
import { startHub } from "./hub.ts";
import { stamped, unstreamed } from "./platforms.ts";
import { startProxy } from "./proxy.ts";

const STREAM = { sse: "GET /v1/stream", eventsource: "GET /v1/stream", ws: "GET /v1/ws" } as const;

test.each(ALL)("a stream that does not open is begun again without waiting for half a minute, over %s", async (over) => {
  const hub = await startHub();
  const proxy = await startProxy(hub);
  const client = clientOf({ ...hub, url: proxy.url("ann") }, { over, backoff: { cap: 300 } });
  const handled: RoxyEvent[] = [];
  client.subscribe("message", (event) => handled.push(event));
  await live(client);
  const match = STREAM[over];
  for (const fault of [{ lost: "rst" }, { answer: { status: 503 } }, { end: "fin", after: 20 }] as const) {
    await proxy.faults({ match, times: 1, ...fault });
    expect(await proxy.cut({ match, end: "rst" })).toBe(1);
    await until(() => client.continuity.get() !== "ok");
    await client.publish({ topic: "orders/7", data: fault });
    await live(client);
  }
  await until(() => handled.length >= 3);
  expect(numbers(handled)).toEqual([{ lost: "rst" }, { answer: { status: 503 } }, { end: "fin", after: 20 }]);
}, 20_000);

test("seen from outside, a client whose stream is quiet pings three times a minute at most, and three in a row once in two minutes", async () => {
  const hub = await startHub();
  const proxy = await startProxy(hub);
  const { clock, ...platform } = globalPlatform();
  const pace = 60; // a minute is a second
  // What is due at a time is done at that time, however busy the machine is: a row of pings stays a row.
  const quick = (): Clock => {
    let due = 0;
    const now = (): number => due || clock.now() * pace;
    return {
      now,
      set(callback, ms) {
        const at = now() + ms;
        return clock.set(() => {
          due = at;
          callback();
          due = 0;
        }, (at - clock.now() * pace) / pace);
      },
      clear: clock.clear,
    };
  };
  const clients = ALL.map((over) =>
    createClient({
      url: proxy.url(over),
      token: hub.token({ sub: over, roles: ["everything"] }),
      topics: ["orders/*"],
      heartbeat: "60s",
      platform: stamped(over === "sse" ? { ...platform, clock: quick() } : unstreamed({ ...platform, clock: quick() })),
      transports: [over === "ws" ? webSocket : eventSource],
    }),
  );
  onTestFinished(() => clients.forEach((client) => client.close()));
  clients.forEach((client) => client.connect());
  const till = clientOf(hub);
  const pings = async (): Promise<number[][]> => {
    const log = await proxy.log();
    return ALL.map((over) => log.filter(({ client, path }) => client === over && path === "/v1/ping").map(({ begun }) => Number(begun)));
  };
  // Six minutes in which something comes now and then, by which a stream is known to be there.
  for (let all = await pings(); all.some((times) => !times[0] || times.at(-1)! - times[0] < 360_000); all = await pings()) {
    await till.publish({ topic: "orders/7", data: 1 });
  }
  for (const times of await pings()) {
    const row = (i: number): boolean => i > 0 && times[i]! - times[i - 1]! < 10_000;
    const single = times.filter((_, i) => !row(i));
    for (let i = 3; i < single.length; i++) expect(single[i]! - single[i - 3]!).toBeGreaterThanOrEqual(60_000);
    const begins = times.filter((_, i) => row(i + 1) && !row(i));
    for (let i = 1; i < begins.length; i++) expect(begins[i]! - begins[i - 1]!).toBeGreaterThanOrEqual(110_000);
  }
  expect(clients.map((client) => client.inspect().transport)).toEqual(ALL);
});
