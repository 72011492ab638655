// Tests as an app's author would write them. Outside this repository the imports are @roxy/sdk, /entities, /server and /testing.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createEntities } from "../../src/entities.ts";
import { createClient } from "../../src/index.ts";
import { createPublisher } from "../../src/server.ts";
import { createManualClock, createTestHub, type ManualClock, type TestHub } from "../../src/testing.ts";
import { createKitchen, type Kitchen, type KitchenEntities } from "./kitchen.ts";

let clock: ManualClock;
let hub: TestHub;
let kitchens: Kitchen[];

beforeEach(() => {
  clock = createManualClock();
  kitchens = [];
  hub = createTestHub({
    clock,
    policy: {
      roles: {
        cook: { read: ["orders/*"], write: ["orders/*"] },
        guest: { read: ["orders/*"] },
      },
    },
  });
});

afterEach(() => {
  for (const kitchen of kitchens) kitchen.close();
  hub.close();
  vi.unstubAllGlobals();
});

async function open(device: string, role = "cook"): Promise<Kitchen> {
  const token = hub.token({ sub: device, roles: [role] });
  const client = createClient({ url: hub.url, platform: hub.platform, token, device, topics: ["orders/*"], snapshot: true });
  const kitchen = createKitchen(client, createEntities<KitchenEntities>(client));
  kitchens.push(kitchen);
  await clock.go(1_000);
  return kitchen;
}

const order = (number: number, dish = "soup"): void => {
  hub.mutate({ op: "put", topic: `orders/${number}`, data: { table: number, dish, status: "new" }, type: "order:placed" });
};

test("a new order rings, and the ring is confirmed", async () => {
  const kitchen = await open("stove");
  hub.publish({ topic: "orders/7", type: "order:new", id: "bell", ack: { by: "device", within: "30s" } });
  await clock.go(1_000);
  expect(kitchen.lines()).toEqual(["new: orders/7"]);
  expect(hub.acked("bell")).toMatchObject({ settlement: "acknowledged", receipts: [{ device: "stove" }] });
});

test("what one cook starts the other sees", async () => {
  order(7);
  const [stove, grill] = [await open("stove"), await open("grill")];
  stove.start("7");
  expect(stove.lines()).toEqual(["orders/7 table 7 soup cooking …"]); // at once, and not yet sure
  await clock.go(1_000);
  expect(stove.lines()).toEqual(["orders/7 table 7 soup cooking"]);
  expect(grill.lines()).toEqual(["orders/7 table 7 soup cooking"]);
  expect(hub.events().at(-1)).toMatchObject({ topic: "orders/7", by: "stove", change: { op: "patch", version: 2, patch: { status: "cooking" } } });
});

test("without a network the cook goes on, and is told that the screen may be old", async () => {
  order(7);
  const kitchen = await open("stove");
  hub.faults.offline();
  kitchen.start("7");
  kitchen.ready("7");
  order(8, "steak");
  await clock.go(10_000);
  expect(kitchen.lines()).toEqual(["no connection: what you see may be old", "orders/7 table 7 soup ready …"]);
  hub.faults.online();
  await clock.go(60_000);
  expect(kitchen.lines()).toEqual(["orders/7 table 7 soup ready", "orders/8 table 8 steak new"]);
  expect(hub.entity("orders/7")).toMatchObject({ data: { status: "ready" } });
});

test("an answer that is lost changes nothing twice", async () => {
  order(7);
  const kitchen = await open("stove");
  hub.faults.loseReply({ on: "mutations", times: 2 });
  kitchen.start("7");
  await clock.go(60_000);
  expect(kitchen.lines()).toEqual(["orders/7 table 7 soup cooking"]);
  expect(hub.entity("orders/7")).toMatchObject({ version: 2 });
});

test("who may not change an order gets it back as it was, and is told why", async () => {
  order(7);
  const kitchen = await open("guest", "guest");
  kitchen.start("7");
  expect(kitchen.lines()).toEqual(["orders/7 table 7 soup cooking …"]);
  await clock.go(1_000);
  expect(kitchen.lines()).toEqual(["orders/7 was not changed: forbidden", "orders/7 table 7 soup new"]);
});

test("the part of the app that runs on a server is tested with the same hub", async () => {
  vi.stubGlobal("fetch", hub.fetch);
  const publisher = createPublisher({ url: hub.url, token: hub.token({ sub: "till", roxy: { publish: ["orders/*"] } }) });
  await publisher.publish({ topic: "orders/7", type: "order:paid", data: { cents: 950 } });
  expect(hub.events()).toMatchObject([{ topic: "orders/7", type: "order:paid", by: "till", data: { cents: 950 } }]);
});
