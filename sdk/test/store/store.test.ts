import { expect, test } from "vitest";
import fc from "fast-check";
import type { Message } from "../../src/core/messages.ts";
import { createOutbox, memoryStorage, OutboxFull, type Outbox, type OutboxOptions, type Result, type Transport, uuidsV7 } from "../../src/outbox.ts";
import { composed, same, keep, merge, type Json, type JsonObject } from "../../src/store/json.ts";
import type { Entity } from "../../src/outbox/wire.ts";
import { createStore, type Store, type StoreOptions } from "../../src/store.ts";
import { createFakeClock } from "../clock.ts";
import { mergePatch } from "./simhub.ts";

/** A hub that nobody reaches. */
const nowhere: Transport = {
  send: () => new Promise(() => {}),
  status: () => new Promise(() => {}),
  cancel: () => new Promise(() => {}),
  fetch: () => new Promise(() => {}),
  list: () => new Promise(() => {}),
};

function open(transport: Partial<Transport> = {}, options: Partial<OutboxOptions> = {}, cache?: StoreOptions["cache"]): { store: Store; outbox: Outbox } {
  let ids = 0;
  const clock = createFakeClock();
  const all = { ...nowhere, ...transport };
  const outbox = createOutbox({ transport: all, storage: memoryStorage(), clock, newId: () => `m${++ids}`, random: () => 0, ...options });
  outbox.start();
  return { outbox, store: createStore({ outbox, fetch: all.fetch, list: all.list, clock, follows: ["orders/*"], ...(cache && { cache }) }) };
}

const entity = (topic: string, version: number, data: JsonObject): Message => ({ kind: "entity", topic, version, time: "", data });
const event = (topic: string, version: number, patch: JsonObject): Message => ({
  kind: "event", type: "entity:updated", topic, data: undefined, time: "", live: true, change: { op: "patch", version, base: version - 1, patch },
});

function snapshot(store: Store): void {
  store.receive({ kind: "snapshot" });
  store.receive(entity("orders/1", 3, { status: "open", lines: { a: { n: 1 }, b: { n: 2 } } }));
  store.receive(entity("orders/2", 1, { status: "open" }));
  store.receive({ kind: "live", replayed: 0, entities: 2 });
}

test("a change of one entity leaves the references of all others, and of its own untouched members", () => {
  const { store } = open();
  snapshot(store);
  const all = store.collection("orders/*").get();
  store.receive(event("orders/1", 4, { lines: { a: { n: 9 } } }));
  const next = store.collection("orders/*").get();
  expect(next).not.toBe(all);
  expect(next[1]).toBe(all[1]);
  expect(next[0]!.data).toEqual({ status: "open", lines: { a: { n: 9 }, b: { n: 2 } } });
  expect((next[0]!.data!["lines"] as JsonObject)["b"]).toBe((all[0]!.data!["lines"] as JsonObject)["b"]);
  expect(store.collection("orders/*").get()).toBe(next);
  expect(store.entity("orders/1")).toBe(store.entity("orders/1"));
});

test("a snapshot of what is known already changes no reference", () => {
  const { store } = open();
  snapshot(store);
  const all = store.collection("orders/*").get();
  snapshot(store);
  expect(store.collection("orders/*").get()).toBe(all);
});

test("a listener hears of its own topic alone, and not after it has unsubscribed", () => {
  const { store } = open();
  let one = 0;
  let pattern = 0;
  const stop = store.entity("orders/1").subscribe(() => one++);
  store.collection("orders/*").subscribe(() => pattern++);
  store.receive(entity("orders/2", 1, {}));
  expect([one, pattern]).toEqual([0, 1]);
  store.receive(entity("orders/1", 1, {}));
  expect([one, pattern]).toEqual([1, 2]);
  stop();
  stop();
  store.receive(entity("orders/1", 2, { a: 1 }));
  expect([one, pattern]).toEqual([1, 3]);
});

test("what is missing between two events is fetched, and what came meanwhile is applied behind it", async () => {
  const asked: string[] = [];
  let answer: (e: { topic: string; version: number; data: JsonObject }) => void = () => {};
  const { store } = open({ fetch: (topic) => (asked.push(topic), new Promise((resolve) => (answer = resolve))) });
  store.receive(entity("orders/1", 3, { a: 3 }));
  store.receive(event("orders/1", 5, { b: 5 }));
  store.receive(event("orders/1", 6, { c: 6 }));
  expect(store.entity("orders/1").get().version).toBe(3);
  answer({ topic: "orders/1", version: 5, data: { a: 4, b: 5 } });
  await Promise.resolve();
  await Promise.resolve();
  expect(asked).toEqual(["orders/1"]);
  expect(store.entity("orders/1").get()).toMatchObject({ version: 6, data: { a: 4, b: 5, c: 6 } });
});

test("after the log was lost, lower versions count", () => {
  const { store } = open();
  snapshot(store);
  store.receive({ kind: "reset", reason: "epoch" });
  store.receive({ kind: "snapshot" });
  store.receive(entity("orders/1", 1, { status: "restored" }));
  store.receive({ kind: "live", replayed: 0, entities: 1 });
  expect(store.entity("orders/1").get()).toMatchObject({ version: 1, data: { status: "restored" } });
  expect(store.entity("orders/2").get().data).toBe(null);
});

test("what is created in a new log, where the lost one had more of it, is what it says and nothing else", () => {
  const { store } = open();
  snapshot(store);
  store.receive({ kind: "reset", reason: "epoch" });
  store.receive({ kind: "snapshot" });
  store.receive({ kind: "live", replayed: 0, entities: 0 });
  store.receive(event("orders/1", 1, { note: "new" }));
  expect(store.entity("orders/1").get()).toMatchObject({ version: 1, data: { note: "new" } });
  expect(store.entity("orders/1").get().data).not.toHaveProperty("status");
});

test("what a page before has kept, and the hub does not know any more, is not shown, however late it is read", async () => {
  let read: (kept: Entity[]) => void = () => {};
  const cache = { recall: () => new Promise<Entity[]>((resolve) => (read = resolve)), keep: async () => {} };
  const { store } = open({}, {}, cache);
  snapshot(store);
  read([{ topic: "orders/9", version: 4, data: { status: "gone" } }, { topic: "tables/1", version: 1, data: { number: 1 } }]);
  await new Promise((soon) => setImmediate(soon));
  expect(store.entity("orders/9").get().data).toBe(null);
  expect(store.entity("tables/1").get()).toMatchObject({ data: { number: 1 }, fromCache: true });
});

test("an object that its app changes later does not change what was asked for", () => {
  const { store } = open();
  const lines = { a: 1 };
  store.put("orders/9", { lines });
  lines.a = 2;
  expect(store.entity("orders/9").get().data).toEqual({ lines: { a: 1 } });
});

test("the thousand and first mutation that waits is refused, and none is thrown away", () => {
  const { store, outbox } = open();
  for (let i = 0; i < 1000; i++) store.put(`orders/${i}`, { i });
  expect(() => store.put("orders/1000", {})).toThrow(OutboxFull);
  expect(outbox.topics().length).toBe(1000);
});

test("a mutation that cannot be stored is taken back and says so", async () => {
  const storage = { ...memoryStorage(), add: () => Promise.reject(new Error("disk full")) };
  const { store } = open({ status: async () => [] }, { storage });
  const { accepted, settled } = store.put("orders/1", { a: 1 });
  expect(await accepted).toBe(false);
  expect(await settled).toMatchObject({ status: "refused", problem: { code: "not-stored", detail: "Error: disk full" } });
  expect(store.entity("orders/1").get().data ?? null).toBe(null);
});

test("a mutation of one entity that hangs holds back its own entity alone", async () => {
  const sent: string[] = [];
  const { store } = open({
    status: async () => [],
    send: ([m]) => {
      sent.push(`${m!.topic} ${m!.seq}`);
      return m!.topic === "orders/1" ? new Promise<Result[]>(() => {}) : Promise.resolve([{ id: m!.id, status: "committed" as const, version: m!.seq! }]);
    },
  }, { device: "d" });
  store.put("orders/1", {});
  store.put("orders/1", {});
  store.put("orders/2", {});
  await store.put("orders/2", {}).settled;
  expect(sent).toEqual(["orders/1 1", "orders/2 3", "orders/2 4"]);
});

test.each(["start", "wake"] as const)("a 401 pauses sending until %s, and costs no mutation", async (resume) => {
  let token = "old";
  const { store, outbox } = open({
    status: async () => [],
    send: async ([m]) => {
      if (token === "old") throw { failure: "unauthenticated" };
      return [{ id: m!.id, status: "committed", version: 1 }];
    },
  });
  const { settled } = store.put("orders/1", {});
  while (outbox.pending("orders/1")[0]?.state !== "sent") await Promise.resolve();
  await new Promise((soon) => setImmediate(soon));
  token = "new";
  outbox[resume]();
  expect((await settled).status).toBe("committed");
});

test("the patch of anything onto anything is that of RFC 7396, and untouched members keep their references", () => {
  const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
  const object = fc.dictionary(fc.constantFrom("a", "b", "c", "__proto__", "constructor"), json, { noNullPrototype: true }) as fc.Arbitrary<JsonObject>;
  fc.assert(
    fc.property(object, object, (target, patch) => {
      fc.pre(!JSON.stringify([target, patch]).includes("__proto__")); // the model builds objects by assignment
      const clean = merge({}, target);
      const result = merge(clean, patch);
      expect(same(result, mergePatch(clean, patch))).toBe(true);
      for (const name of Object.keys(clean)) if (!Object.hasOwn(patch, name)) expect(result[name]).toBe(clean[name]);
      expect(merge(result, patch)).toBe(result);
      expect(keep(result, structuredClone(result))).toBe(result);
    }),
    { numRuns: 500 },
  );
});

test("two patches in one do what they do one after the other, on whatever there is", () => {
  const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>;
  const object = fc.dictionary(fc.constantFrom("a", "b"), fc.oneof(json, fc.dictionary(fc.constantFrom("a", "b"), json)), { noNullPrototype: true }) as fc.Arbitrary<JsonObject>;
  let composable = 0;
  fc.assert(
    fc.property(object, object, object, (target, first, second) => {
      const clean = merge({}, target);
      const both = composed(first, second);
      if (!both) return;
      composable++;
      expect(same(merge(clean, both), merge(merge(clean, first), second))).toBe(true);
    }),
    { numRuns: 500 },
  );
  expect(composable).toBeGreaterThan(100);
});

test("a member called __proto__ is a member", () => {
  const patched = merge({}, JSON.parse('{"__proto__":{"a":1}}') as JsonObject);
  expect(Object.keys(patched)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(patched)).toBe(Object.prototype);
});

test("ids are UUIDs of version 7 and sort by their time", () => {
  let now = 0x0123456789ab;
  const next = uuidsV7(() => now++, (bytes) => "f".repeat(2 * bytes));
  const ids = [next(), next()];
  expect(ids[0]).toBe("01234567-89ab-7fff-bfff-ffffffffffff");
  expect(ids).toEqual([...ids].sort());
});

test("what an outbox hears after it was closed is left to the next one over its storage", async () => {
  const storage = memoryStorage();
  let answer: (results: Result[]) => void = () => {};
  const conflict = (): "mine" => "mine"; // would be sent by both, as two mutations
  const { outbox } = open({ status: async () => [], send: () => new Promise((resolve) => (answer = resolve)) }, { storage, conflict });
  await outbox.ready;
  const { id, accepted } = outbox.add({ op: "put", topic: "orders/1", data: {}, guard: "fields", base: 0 });
  await accepted;
  await expect.poll(async () => (await storage.load())[0]?.state).toBe("sent");
  outbox.close();
  answer([{ id, status: "refused", problem: { code: "version-conflict" } }]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await storage.load()).toMatchObject([{ id, state: "sent" }]);
});

test("what one takes back of several edits that became one leaves the others, however often they say so", async () => {
  const { store, outbox } = open();
  store.put("orders/1", { a: 0 });
  while (outbox.pending("orders/1")[0]?.state !== "sent") await Promise.resolve();
  const put = store.put("orders/1", { a: 1 });
  const patch = store.patch("orders/1", { b: 2 });
  expect(put.id).toBe(patch.id);
  expect(await put.cancel()).toMatchObject({ status: "cancelled" });
  await put.cancel();
  expect(outbox.pending("orders/1")[1]).toMatchObject({ id: patch.id, op: "patch", data: undefined, patch: { b: 2 } });
});

test("of an atomic request a mutation that is made anew after a conflict stays in it over a reload", async () => {
  const storage = memoryStorage();
  let calls = 0;
  const { outbox } = open({
    send: ([m]) => (++calls === 1 ? Promise.resolve([{ id: m!.id, status: "refused" as const, problem: { code: "version-conflict" } }]) : new Promise<Result[]>(() => {})),
  }, { storage, conflict: () => "mine" });
  const ids = outbox.add({ op: "put", topic: "orders/1", data: {}, guard: "none" }, { op: "put", topic: "orders/2", data: {}, guard: "none" }).ids;
  await expect.poll(() => calls).toBe(2);
  const entries = await storage.load();
  expect(entries.map(({ id }) => ids.includes(id))).toEqual([false, true]);
  expect(entries[0]!.group).toBeTruthy();
  expect(entries[1]!.group).toBe(entries[0]!.group);
});
