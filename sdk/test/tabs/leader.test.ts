import { expect, test } from "vitest";
import { crash, flow, freeze, handled, live, ranks, startDesk, until, upTo } from "./tabs.ts";

const alone = (streams: readonly unknown[]): boolean => streams.length === 1;

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

test("a device of several tabs has one stream, hears nothing that is not for it, and confirms what they handled, also when another tab leads, until it is used elsewhere", async () => {
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
  const elsewhere = await desk.open({ device });
  await live(elsewhere);
  for (const tab of followers) await tab.waitForFunction(() => window.tab.client.problem()?.code === "replaced");
});
