import { expect, test } from "vitest";
import { ALL, clientOf, live, numbers, until } from "./client.ts";
import { startHub } from "./hub.ts";
import type { RoxyEvent } from "../src/index.ts";
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
