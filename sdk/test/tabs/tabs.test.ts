import { expect, test } from "vitest";
import { flow, handled, live, ranks, startDesk, until, upTo } from "./tabs.ts";

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

test("seven tabs that come at once, each with a topic of its own, miss nothing while events are published", async () => {
  const desk = await startDesk();
  const numbers = upTo(7);
  const events = flow(desk, (n) => `menu${(n % 7) + 1}/1`);
  const tabs = await Promise.all(numbers.map((n) => desk.open({ name: "ann", topics: [`menu${n}/*`] })));
  await live(...tabs);
  await until(desk.streams, (streams) => streams.length === 1 && streams[0]!.patterns.length === 7);
  await events.reached((await events.reached(0)) + 70);
  const count = await events.stop();
  for (const [i, tab] of tabs.entries()) {
    const own = upTo(count).filter((n) => n % 7 === i);
    await tab.waitForFunction((last) => window.tab.handled.includes(last), own.at(-1)!);
    const heard = await handled(tab, 1);
    expect(heard).toEqual(own.slice(own.indexOf(Number(heard[0])))); // from when it was live on
  }
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

test("each tab hears its own topics and types, and those that it asks for later, until it is closed", async () => {
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
  await tables.close();
  await until(desk.streams, (streams) => streams[0]?.patterns.join() === "orders/*"); // what a closed tab wanted is no longer asked for
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

test("a browser without Web Locks or without BroadcastChannel has a stream for each tab", async () => {
  const desk = await startDesk();
  const tabs = [await desk.open({ name: "ann", without: "locks" }), await desk.open({ name: "ann", without: "BroadcastChannel" })];
  await live(...tabs);
  expect(await desk.streams()).toHaveLength(2);
  await desk.publish({ data: 1 });
  for (const tab of tabs) {
    expect(await handled(tab, 1)).toEqual([1]);
    expect(await tab.evaluate(() => window.tab.leads())).toBe(true);
  }
});
