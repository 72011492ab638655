import "fake-indexeddb/auto";
import { expect, onTestFinished, test } from "vitest";
import { createEntities, type Entities, type EntitiesOptions } from "../../src/entities.ts";
import type { Client, ClientOptions } from "../../src/index.ts";
import { clientOf, live, until } from "../client.ts";
import { type Hub, startHub } from "../hub.ts";
import type { RoxyEntities } from "./types.test.ts";

function entitiesOf(hub: Hub, client: Partial<ClientOptions> = {}, options: EntitiesOptions = {}): { entities: Entities<RoxyEntities>; client: Client } {
  const own = clientOf(hub, { topics: ["orders/**"], snapshot: true, ...client });
  const entities = createEntities<RoxyEntities>(own, options);
  onTestFinished(() => entities.close());
  return { entities, client: own };
}

const order = { lines: { a: { product: "tea", quantity: 1 } }, status: "new" } as const;

test("what one client writes, another one sees, and the writer sees it at once", async () => {
  const hub = await startHub();
  const [ann, bob] = [entitiesOf(hub, { device: "d1" }), entitiesOf(hub, { device: "d2" })];
  ann.client.connect();
  bob.client.connect();
  const { settled } = ann.entities.put("orders/7", order);
  expect(ann.entities.entity("orders/7").get()).toMatchObject({ data: order, pending: ["lines", "status"] });
  expect(ann.client.sync.get()).toBe("pending");
  expect(await settled).toMatchObject({ status: "committed", version: 1 });
  await until(() => bob.entities.entity("orders/7").get().version === 1);
  await bob.entities.patch("orders/7", { lines: { b: { product: "gin", quantity: 2 } } }).settled;
  const both = { ...order, lines: { ...order.lines, b: { product: "gin", quantity: 2 } } };
  for (const { entities, client } of [ann, bob]) {
    await until(() => entities.entity("orders/7").get().version === 2);
    expect(entities.collection("orders/*").get()).toEqual([{ topic: "orders/7", data: both, version: 2, pending: [] }]);
    await until(() => client.sync.get() === "synced");
  }
});

test("two who change the same: the second hears of the conflict, and decides it on the screen", async () => {
  const hub = await startHub();
  const ann = entitiesOf(hub);
  const bob = entitiesOf(hub, {}, { conflict: () => "ask" });
  ann.client.connect();
  await ann.entities.put("orders/7", order).settled;
  bob.client.connect();
  await live(bob.client);
  bob.client.close(); // bob's tablet hears nothing any more
  await ann.entities.patch("orders/7", { payment: "payments/1" }).settled;
  const { settled } = bob.entities.patch("orders/7", { payment: "payments/2" });
  await until(() => bob.entities.entity("orders/7").get().conflict);
  const [held] = bob.entities.troubled.get();
  expect(held?.problem).toMatchObject({ code: "version-conflict", fields: ["payment"], current: { data: { payment: "payments/1" } } });
  expect(bob.client.sync.get()).toBe("conflict");
  bob.entities.resolve(held!.id, "mine");
  expect(await settled).toMatchObject({ status: "committed", version: 3 });
  await until(() => ann.entities.entity("orders/7").get().data?.payment === "payments/2");
});

test("what was asked for before a reload is sent after it", async () => {
  const hub = await startHub();
  await hub.stop();
  const before = entitiesOf(hub, {}, { database: "reload" });
  const { accepted } = before.entities.put("orders/7", order);
  expect(await accepted).toBe(true);
  before.entities.close();
  before.client.close();
  await hub.start();
  const after = entitiesOf(hub, {}, { database: "reload" });
  after.client.connect();
  await until(() => after.entities.entity("orders/7").get().version === 1);
  expect(after.entities.entity("orders/7").get().data).toEqual(order);
});

test.each([true, false])("what somebody begins to look at is there, and follows, and what is deleted meanwhile is not (snapshot: %s)", async (snapshot) => {
  const hub = await startHub();
  const ann = entitiesOf(hub);
  ann.client.connect();
  for (const id of ["1", "2", "3"]) await ann.entities.put(`orders/${id}`, order).settled;
  await ann.entities.put("tables/1", { number: 1 }).settled;

  const bob = entitiesOf(hub, { topics: ["tables/*"], snapshot });
  bob.client.connect();
  await live(bob.client);
  await ann.entities.delete("orders/2").settled;
  const { subscribe, get } = bob.entities.collection("orders/*");
  const one = bob.entities.entity("orders/9");
  expect(one.get().data).toBe(undefined);
  const stops = [subscribe(() => {}), one.subscribe(() => {})];
  await until(() => get().length === 2 && one.get().data === null);
  expect(get().map((view) => view.topic)).toEqual(["orders/1", "orders/3"]);
  await ann.entities.patch("orders/1", { status: "ready" }).settled;
  await ann.entities.put("orders/9", order).settled;
  await until(() => get()[0]?.data?.status === "ready" && one.get().data);

  stops.forEach((stop) => stop());
  await until(() => !bob.client.followed().includes("orders/*"));
  await ann.entities.delete("orders/1").settled;
  await ann.entities.patch("orders/3", { status: "ready" }).settled;
  subscribe(() => {});
  await until(() => get().length === 2 && get()[0]?.data?.status === "ready");
  expect(get().map((view) => view.topic)).toEqual(["orders/3", "orders/9"]);
});

test("an atomic request is committed whole or not at all, and its refusal names the one at fault", async () => {
  const hub = await startHub();
  const { entities, client } = entitiesOf(hub);
  client.connect();
  const both = entities.atomic((draft) => {
    draft.put("orders/1", order);
    draft.put("tables/1", { number: 1 });
  });
  expect(entities.entity("orders/1").get().data).toEqual(order);
  expect(await both.settled).toMatchObject({ topic: "orders/1", status: "committed", version: 1 });
  const none = entities.atomic((draft) => {
    draft.patch("orders/1", { status: "ready" });
    draft.patch("tables/2", { number: 2 });
  });
  expect(await none.settled).toMatchObject({ topic: "tables/2", status: "refused", problem: { code: "not-found" } });
  await until(() => entities.entity("orders/1").get().pending.length === 0);
  expect(entities.entity("orders/1").get()).toMatchObject({ data: order, version: 1 });
  expect(entities.troubled.get().map(({ topic, problem }) => [topic, problem?.code])).toEqual([
    ["orders/1", "dependency"],
    ["tables/2", "not-found"],
  ]);
  expect(() => entities.atomic((draft) => [draft.delete("orders/1"), draft.delete("orders/1")])).toThrow("orders/1 is changed twice");
});

test("what is asked for while the hub is away arrives as few mutations, less what was taken back", async () => {
  const hub = await startHub();
  const { entities, client } = entitiesOf(hub);
  client.connect();
  await entities.put("orders/1", order).settled;
  await until(() => entities.entity("orders/1").get().pending.length === 0);
  await hub.stop();
  const first = entities.patch("orders/1", { status: "ready" }); // on its way, and so it stays alone
  await first.accepted;
  const edits = [
    entities.patch("orders/1", { lines: { a: { quantity: 2 } } }),
    entities.patch("orders/1", { payment: "payments/1" }),
    entities.patch("orders/1", { lines: { b: { product: "gin", quantity: 1 } } }),
  ];
  expect(new Set([first, ...edits].map(({ id }) => id)).size).toBe(2);
  expect(await edits[1]!.cancel()).toMatchObject({ status: "cancelled" });
  expect(entities.entity("orders/1").get().data).not.toHaveProperty("payment");
  await hub.start();
  expect(await edits[2]!.settled).toMatchObject({ status: "committed", version: 3 });
  const lines = { a: { product: "tea", quantity: 2 }, b: { product: "gin", quantity: 1 } };
  await until(() => entities.entity("orders/1").get().version === 3);
  expect(entities.entity("orders/1").get().data).toEqual({ status: "ready", lines });
});

test("what has waited longer than it is worth is parked, and asked for again as new", async () => {
  const hub = await startHub();
  const { entities, client } = entitiesOf(hub);
  await hub.stop();
  const ttl = 2000; // the hub has as long to take it when it is asked for again
  const { settled, id } = entities.put("orders/1", order, { ttl, type: "course:fired" });
  await new Promise((over) => setTimeout(over, ttl));
  await hub.start();
  expect(await settled).toMatchObject({ status: "parked", problem: { code: "expired" } });
  client.connect();
  await until(() => client.sync.get() === "parked");
  expect(await entities.retry(id)!.settled).toMatchObject({ status: "committed" });
});

test("a strict mutation behind one's own is taken when nobody came between, and else refused", async () => {
  const hub = await startHub();
  const [ann, bob] = [entitiesOf(hub), entitiesOf(hub)];
  ann.client.connect();
  bob.client.connect();
  await ann.entities.put("orders/1", order).settled;
  await until(() => bob.entities.entity("orders/1").get().version === 1);
  const own = [bob.entities.patch("orders/1", { payment: "payments/1" }), bob.entities.patch("orders/1", { status: "ready" }, { guard: "version" })];
  expect(await Promise.all(own.map((p) => p.settled))).toMatchObject([{ version: 2 }, { version: 3 }]);
  bob.client.close();
  await ann.entities.patch("orders/1", { tags: ["loud"] }).settled;
  const late = bob.entities.patch("orders/1", { status: "new" }, { guard: "version" });
  expect(await late.settled).toMatchObject({ status: "refused", problem: { code: "version-conflict" } });
});
