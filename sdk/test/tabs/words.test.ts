import { expect, test } from "vitest";
import { tabs } from "../../src/tabs.ts";
import { covers, heardBy, union } from "../../src/tabs/words.ts";
import { clientOf, live } from "../client.ts";
import { startHub } from "../hub.ts";

test("a stream carries a tab when it brings all that the tab wants", () => {
  const rows: [string, string[], string[], string[], string[], boolean][] = [
    ["the same", ["orders/*"], [], ["orders/*"], [], true],
    ["a topic inside a pattern", ["orders/*"], [], ["orders/7"], [], true],
    ["a topic outside", ["orders/*"], [], ["tables/7"], [], false],
    ["one of two", ["orders/*"], [], ["orders/7", "tables/7"], [], false],
    ["a pattern inside another one has to be named", ["orders/**"], [], ["orders/*"], [], false],
    ["a pattern around another one", ["orders/*"], [], ["orders/**"], [], false],
    ["the hub's own topics have to be spelled out", ["**"], [], ["roxy/presence"], [], false],
    ["all types bring one", ["orders/*"], [], ["orders/*"], ["a"], true],
    ["one type does not bring all", ["orders/*"], ["a"], ["orders/*"], [], false],
    ["nor another one", ["orders/*"], ["a", "b"], ["orders/*"], ["b", "c"], false],
  ];
  for (const [name, topics, types, wantedTopics, wantedTypes, expected] of rows) {
    expect(covers({ topics, types }, { topics: wantedTopics, types: wantedTypes }), name).toBe(expected);
  }
});

test("what tabs want together brings what each of them wants, and never more topics than a hub takes", () => {
  const want = (topics: string[], ...types: string[]): { topics: string[]; types: string[] } => ({ topics, types });
  const many = Array.from({ length: 63 }, (_, i) => `menu/${i}`);
  expect(union(want(["a/*"], "x"), [want(["a/1"], "x"), want(["b/1"], "x", "y")])).toEqual(want(["a/*", "b/1"], "x", "y"));
  expect(union(want(["a/*"], "x"), [want(["a/*"])])).toEqual(want(["a/*"]));
  expect(union(want(["a/*"]), [want(["a/1"], "x")])).toEqual(want(["a/*"]));
  expect(union(want(["a/*"]), [want(many), want(["b/1"]), want(["a/1"])])).toEqual(want(["a/*", ...many]));
});

test("of what a tab did not ask for it hears the id alone, and the hub's own word always", () => {
  const want = { topics: ["orders/*"], types: ["a"] };
  const rows: [string, string, unknown, boolean][] = [
    ["its topic and type", "a", { topic: "orders/1" }, true],
    ["another type", "b", { topic: "orders/1" }, false],
    ["another topic", "a", { topic: "tables/1" }, false],
    ["an entity of its topic", "roxy:entity", { topic: "orders/1" }, true],
    ["an entity of another topic", "roxy:entity", { topic: "tables/1" }, false],
    ["a dead letter", "roxy:unacked", { topic: "roxy/dead-letters" }, false],
    ["who is present", "roxy:presence", { present: [] }, false],
    ["a receipt, whatever its topic", "roxy:receipt", { topic: "tables/1" }, true],
    ["a heartbeat", "roxy:heartbeat", { time: "" }, true],
    ["an id", "roxy:id", null, true],
  ];
  for (const [name, event, data, hears] of rows) {
    const block = { event, id: "e.1", data };
    expect(heardBy(want, block), name).toEqual(hears ? block : { event: "roxy:id", id: "e.1", data: null });
  }
  const presence = { event: "roxy:presence", data: { present: [] } };
  expect(heardBy({ topics: ["roxy/presence"], types: [] }, presence)).toBe(presence);
});

test("where there are no tabs a client that would share has a stream all the same", async () => {
  const hub = await startHub();
  const client = clientOf(hub, { share: tabs({ name: "ann" }) });
  client.connect();
  await live(client);
});
