import { expect, test } from "vitest";
import { crash, flow, freeze, handled, live, ranks, startDesk, until, upTo } from "./tabs.ts";

const alone = (streams: readonly unknown[]): boolean => streams.length === 1;

test("seven tabs hold one stream over HTTP/1.1, each hears each event once, and calls go through", async () => {
  const desk = await startDesk();
  const tabs = await Promise.all(upTo(7).map(() => desk.open({ name: "ann" })));
  await live(...tabs);
  await until(desk.streams, alone);
  const { followers } = await ranks(tabs);
  for (const n of upTo(6)) await desk.publish({ data: n });
  await followers[0]!.evaluate(() => window.tab.client.publish({ topic: "orders/7", type: "order:new", data: 7 } as never));
  for (const tab of tabs) expect(await handled(tab, 7)).toEqual(upTo(7));
  expect(await desk.streams()).toHaveLength(1);
});

test("without sharing six tabs have all connections that a browser has for a hub, and a seventh waits for one of them to close", async () => {
  const desk = await startDesk();
  const six = await Promise.all(upTo(6).map(() => desk.open()));
  await until(desk.streams, (streams) => streams.length === 6);
  const seventh = await desk.open();
  await seventh.evaluate((url) => void fetch(`${url}/v1/ping`).then(() => document.body.append("answered")), desk.hub.url);
  for (const _ of upTo(20)) await seventh.evaluate(() => fetch("/").then((answer) => answer.text())); // other servers answer
  expect(await seventh.evaluate(() => [window.tab.client.state.get(), document.body.textContent?.includes("answered")])).toEqual(["connecting", false]);
  expect(await desk.streams()).toHaveLength(6);
  await six[0]!.close();
  await live(seventh);
});

test("when the leader is closed or crashes, another tab takes over without a hole and without a repeat", async () => {
  const desk = await startDesk();
  const tabs = await Promise.all(upTo(4).map(() => desk.open({ name: "ann" })));
  await live(...tabs);
  const first = await ranks(tabs);
  const events = flow(desk);
  await events.reached(20);
  await first.leader.close();
  const second = await ranks(first.followers);
  await live(...second.followers);
  const before = (await handled(second.leader, 0)).length;
  await handled(second.leader, before + 20);
  await crash(second.leader);
  const third = await ranks(second.followers);
  await live(third.leader);
  await handled(third.leader, (await handled(third.leader, 0)).length + 20);
  const count = await events.stop();
  for (const tab of [third.leader, ...third.followers]) expect(await handled(tab, count)).toEqual(upTo(count));
  await until(desk.streams, alone);
});

test("each tab hears its own topics and types, and those that a follower asks for later", async () => {
  const desk = await startDesk();
  const [orders, tables] = [await desk.open({ name: "ann" }), await desk.open({ name: "ann", topics: ["tables/*"], types: ["table:called", "table:paid"] })];
  await live(orders, tables);
  await until(desk.streams, (streams) => streams.length === 1 && streams[0]!.patterns.join() === "orders/*,tables/*");
  await desk.publish({ data: 1 });
  await desk.publish({ topic: "tables/3", type: "table:called", data: 2 });
  await desk.publish({ topic: "tables/3", type: "table:wiped", data: 3 });
  await desk.publish({ topic: "tables/3", type: "table:paid", data: 4 });
  expect(await handled(tables, 2)).toEqual([2, 4]);
  await tables.evaluate(() => void window.tab.client.retain(["menu/*"]));
  await until(desk.streams, (streams) => streams.length === 1 && streams[0]!.patterns.join() === "menu/*,orders/*,tables/*");
  await live(tables);
  await desk.publish({ topic: "menu/1", type: "table:called", data: 5 });
  await desk.publish({ data: 6 });
  expect(await handled(tables, 3)).toEqual([2, 4, 5]);
  expect(await handled(orders, 2)).toEqual([1, 6]);
  const cursors = async (): Promise<unknown[]> => Promise.all([orders, tables].map((tab) => tab.evaluate(() => window.tab.client.inspect().cursor)));
  await until(cursors, ([a, b]) => a === b); // what is not for a tab advances its cursor all the same
});

test("what a closed tab wanted is no longer asked for", async () => {
  const desk = await startDesk();
  const [orders, tables] = [await desk.open({ name: "ann" }), await desk.open({ name: "ann", topics: ["tables/*"] })];
  await live(orders, tables);
  await until(desk.streams, (streams) => streams[0]?.patterns.join() === "orders/*,tables/*");
  await tables.close();
  await until(desk.streams, (streams) => streams[0]?.patterns.join() === "orders/*");
});

test("tabs survive a kill -9 of the hub together", async () => {
  const desk = await startDesk();
  const tabs = await Promise.all(upTo(3).map(() => desk.open({ name: "ann" })));
  await live(...tabs);
  await until(desk.streams, alone);
  await desk.publish({ data: 1 });
  await desk.hub.kill();
  for (const tab of tabs) await tab.waitForFunction(() => window.tab.client.continuity.get() === "catching-up");
  await desk.hub.start();
  await desk.publish({ data: 2 });
  await live(...tabs);
  await desk.publish({ data: 3 });
  for (const tab of tabs) expect(await handled(tab, 3)).toEqual(upTo(3));
  await until(desk.streams, alone);
});

test("a tab that comes later begins with a snapshot of its own", async () => {
  const desk = await startDesk();
  await desk.ask("PUT", "/v1/entities/orders/1", { state: "new" });
  const [first, later] = [await desk.open({ name: "ann", snapshot: true }), await desk.open({ name: "ann", snapshot: true, topics: ["orders/*", "menu/*"] })];
  await live(first, later);
  await until(desk.streams, (streams) => streams.length === 1 && streams[0]!.patterns.includes("menu/*"));
  await desk.ask("PATCH", "/v1/entities/orders/1", { state: "ready" });
  for (const tab of [first, later]) {
    await handled(tab, 1);
    const kinds = await tab.evaluate(() => window.tab.messages.filter(({ kind }) => kind !== "live").map(({ kind }) => kind));
    expect(kinds).toEqual(["snapshot", "entity", "event"]);
  }
});

test("a device of several tabs has one stream, hears nothing that is not for it, and confirms what they handled, also when another tab leads", async () => {
  const desk = await startDesk();
  const device = "till-1";
  const tabs = await Promise.all(upTo(3).map(() => desk.open({ name: "ann", device })));
  await live(...tabs);
  await until(desk.streams, alone);
  const confirmed = async (cursor: string): Promise<unknown> => {
    const told = (await desk.ask("GET", `/v1/events/${cursor}/receipts`)) as { settlement?: string };
    return told.settlement;
  };
  const ack = { by: "device", within: "1s", attempts: 9 };
  const cursor = await desk.publish({ data: 1, ack });
  await until(() => confirmed(cursor), (settlement) => settlement === "acknowledged");
  await desk.publish({ data: 2, except: device });
  const { leader, followers } = await ranks(tabs);
  await leader.close();
  await ranks(followers);
  const next = await desk.publish({ data: 3, ack });
  await until(() => confirmed(next), (settlement) => settlement === "acknowledged");
  for (const tab of followers) expect(await handled(tab, 2)).toEqual([1, 3]);
});

test("while the leader is silent the others have streams of their own, and share one again when it is back", async () => {
  const desk = await startDesk();
  const tabs = await Promise.all(upTo(3).map(() => desk.open({ name: "ann", heartbeat: "1s" })));
  await live(...tabs);
  await until(desk.streams, alone);
  const { leader, followers } = await ranks(tabs);
  const thaw = await freeze(leader);
  await desk.publish({ data: 1 });
  for (const tab of followers) await handled(tab, 1);
  await desk.publish({ data: 2 });
  thaw();
  await until(desk.streams, alone);
  await desk.publish({ data: 3 });
  for (const tab of tabs) expect(await handled(tab, 3)).toEqual(upTo(3));
});

test("tabs of another name hear nothing of it", async () => {
  const desk = await startDesk();
  const bob = await desk.open({ name: "bob", claims: { sub: "bob", roles: ["everything"] } });
  const [ann, other] = [await desk.open({ name: "ann" }), await desk.open({ name: "ann" })];
  await live(bob, ann, other);
  await desk.publish({ data: 1, to: { users: ["ann"] } });
  await desk.publish({ data: 2, to: { users: ["bob"] } });
  await desk.publish({ data: 3 });
  expect(await handled(bob, 2)).toEqual([2, 3]);
  for (const tab of [ann, other]) expect(await handled(tab, 2)).toEqual([1, 3]);
});

test("a tab that may not have what the others want keeps its stream, and they keep theirs", async () => {
  const desk = await startDesk();
  const kitchen = await desk.open({ name: "ann", claims: { sub: "ann", roles: ["kitchen"] } });
  await live(kitchen);
  const waiter = await desk.open({ name: "ann", claims: { sub: "ann", roles: ["waiter"] }, topics: ["tables/*"] });
  await live(waiter);
  await kitchen.waitForFunction(() => window.tab.client.inspect().notes.some(({ detail }) => detail === "apart"));
  await live(kitchen, waiter);
  await until(desk.streams, (streams) => streams.length === 2);
  await desk.publish({ data: 1 });
  await desk.publish({ topic: "tables/1", data: 2 });
  expect(await handled(kitchen, 1)).toEqual([1]);
  expect(await handled(waiter, 1)).toEqual([2]);
});

test("a client that is closed, or refused, lets another tab lead, and follows when it comes back", async () => {
  const desk = await startDesk();
  const refused = await desk.open({ name: "ann", claims: { sub: "ann", roles: ["kitchen"] }, topics: ["tables/*"] });
  await refused.waitForFunction(() => window.tab.client.state.get() === "failed");
  expect(await refused.evaluate(() => window.tab.leads())).toBe(true); // nobody else could
  const [one, two] = [await desk.open({ name: "ann" }), await desk.open({ name: "ann" })];
  await live(one, two);
  const { leader } = await ranks([one, two]);
  const other = leader === one ? two : one;
  await leader.evaluate(() => window.tab.client.close());
  expect(await leader.evaluate(() => window.tab.leads())).toBe(false);
  await desk.publish({ data: 1 });
  await handled(other, 1);
  await leader.evaluate(() => window.tab.client.connect());
  await live(one, two);
  await desk.publish({ data: 2 });
  for (const tab of [one, two]) expect(await handled(tab, 2)).toEqual([1, 2]);
  await until(desk.streams, alone);
});

for (const without of ["locks", "BroadcastChannel"] as const) {
  test(`a browser without ${without} has a stream for each tab`, async () => {
    const desk = await startDesk();
    const tabs = [await desk.open({ name: "ann", without }), await desk.open({ name: "ann", without })];
    await live(...tabs);
    expect(await desk.streams()).toHaveLength(2);
    await desk.publish({ data: 1 });
    for (const tab of tabs) {
      expect(await handled(tab, 1)).toEqual([1]);
      expect(await tab.evaluate(() => window.tab.leads())).toBe(true);
    }
  });
}
