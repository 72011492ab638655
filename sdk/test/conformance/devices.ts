import { expect } from "vitest";
import { ANN, BOB, type Answer, type Case, type Talk, type Who } from "./place.ts";

const CYD: Who = { sub: "cyd", roles: ["everything"] };
/** Reads what nobody confirmed. */
const BOSS: Who = { sub: "eve", roles: ["everything"], roxy: { read: ["roxy/**"] } };

const critical = async ({ call }: Talk, ack: object, more: object = {}): Promise<string> =>
  (await call("POST", "/v1/events", { body: { topic: "orders/1", type: "order:new", data: 1, ack, ...more } })).body.events[0].cursor;
const confirm = ({ call }: Talk, device: string, ids: string[], as: Who = ANN): Promise<Answer> => call("POST", "/v1/acks", { as, body: { device, ids } });
/** What was written to connections comes into the receipts a little later. */
const receipts = ({ eventually }: Talk, cursor: string, as: Who = ANN): Promise<Answer> =>
  eventually("GET", `/v1/events/${cursor}/receipts`, { as }, ({ body }) => (body.receipts ?? []).every(({ attempts }: { attempts: number }) => attempts > 0));

/** Opens a device's stream and waits until it is live. */
const device = async ({ stream }: Talk, name: string, as: Who = ANN): ReturnType<Talk["stream"]> => {
  const listening = await stream(`topic=orders/*&device=${name}`, { as });
  await listening.until("roxy:live");
  return listening;
};

/** Devices, critical events and who confirms them (docs/protocol.md §7). */
export const devices: readonly Case[] = [
  {
    name: "a device is known by its stream, is its user's, and has one stream",
    async run(talk) {
      const { call, stream } = talk;
      const first = await device(talk, "t1");
      expect((await stream("topic=orders/*&device=t1", { as: BOB })).answer).toMatchObject({ status: 403, body: { member: "device" } });
      const second = await stream("topic=orders/*&topic=tables/*&type=b&type=a&device=t1");
      await second.until("roxy:live");
      expect((await first.end()).at(-1)).toMatchObject({ event: "roxy:bye", data: { reason: "replaced" } });
      await call("GET", "/v1/devices");
      await call("GET", "/v1/devices", { as: BOB });
      await call("DELETE", "/v1/devices/t1", { as: { sub: "bob", roles: ["waiter"] } });
      await call("DELETE", "/v1/devices/none");
      await call("DELETE", "/v1/devices/a%20b");
      await call("DELETE", "/v1/devices/t1", { as: BOB }); // an administrator
      expect((await second.end()).at(-1)).toMatchObject({ event: "roxy:bye", data: { reason: "replaced" } });
      await call("GET", "/v1/devices");
    },
  },
  {
    name: "a device comes back with nothing where it has everything",
    async run(talk) {
      const { call, stream } = talk;
      const first = await device(talk, "t1");
      const { body } = await call("POST", "/v1/events", { body: [1, 2, 3, 4].map((data) => ({ topic: "orders/1", type: "count", data })) });
      const cursor = (i: number): string => body.events[i].cursor;
      await first.until(({ data }) => data.data === 4);
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: cursor(1) } });
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: cursor(0) } });
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: "anotherlife.7" } });
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: cursor(3).replace(/\d+$/, "99") } });
      first.close();
      const again = await stream("topic=orders/*&device=t1");
      expect((await again.until("roxy:live")).filter(({ event }) => event === "count").map(({ data }) => data.data)).toEqual([3, 4]);
      const resumed = await stream("topic=orders/*&device=t1", { headers: { "Last-Event-ID": cursor(2) } });
      await resumed.until("roxy:live");
      await call("GET", "/v1/devices").then(({ body: told }) => expect(told.devices[0].cursor).toBe(cursor(2)));
      await call("PUT", "/v1/entities/orders/2", { body: { a: 1 } });
      const snapshot = await stream("topic=orders/*&device=t1&snapshot=1");
      await snapshot.until("roxy:live");
      const earliest = await stream("topic=orders/*&device=t1&after=earliest");
      await earliest.until("roxy:live");
      const reset = await stream("topic=orders/*&device=t1&after=anotherlife.3");
      await reset.until("roxy:live");
    },
  },
  {
    name: "a mailbox holds a thousand events, and more than that is a reset",
    async run(talk) {
      const { call, stream } = talk;
      (await device(talk, "t1")).close();
      const many = (n: number): Promise<Answer> => call("POST", "/v1/events", { body: Array.from({ length: n }, () => ({ topic: "orders/1" })) });
      await many(1_000);
      const full = await stream("topic=orders/*&device=t1");
      await full.until("roxy:live");
      full.close();
      await many(1);
      const over = await stream("topic=orders/*&device=t1");
      expect((await over.until("roxy:live")).map(({ event }) => event)).toEqual(["roxy:hello", "roxy:reset", "roxy:live"]);
    },
  },
  {
    name: "who publishes a critical event hears who got it and who confirmed it, once each",
    async run(talk) {
      const publisher = await talk.stream("topic=tables/*");
      await publisher.until("roxy:live");
      const [kitchen, bar] = [await device(talk, "kitchen", BOB), await device(talk, "bar", CYD)];
      const cursor = await critical(talk, { by: "device" }, { correlation: "c-1", id: "k-1" });
      for (const one of [kitchen, bar]) await one.until("order:new");
      await talk.call("POST", "/v1/acks", { as: BOB, body: { device: "kitchen", delivered: cursor } });
      await publisher.until(({ data }) => data.status === "delivered");
      await confirm(talk, "kitchen", [cursor, cursor], BOB);
      await publisher.until(({ data }) => data.status === "confirmed");
      await receipts(talk, cursor);
      await confirm(talk, "bar", [cursor], CYD);
      expect((await publisher.until(({ data }) => data.settled !== undefined)).at(-1)!.data.settled).toBe("acknowledged");
      await confirm(talk, "bar", [cursor], CYD);
      await receipts(talk, cursor);
      await receipts(talk, cursor, { sub: "none", roles: ["waiter"] });
      await receipts(talk, cursor, BOB); // an administrator
      await receipts(talk, "anotherlife.1");
      await receipts(talk, "nonsense");
    },
  },
  {
    name: "one device is enough for any, one of each user for user",
    async run(talk) {
      await device(talk, "a1");
      await device(talk, "a2");
      await device(talk, "b1", BOB);
      const any = await critical(talk, { by: "any" });
      await confirm(talk, "b1", [any], BOB);
      await receipts(talk, any);
      expect((await confirm(talk, "a1", [any])).body.results[0].status).toBe("late");
      const user = await critical(talk, { by: "user", within: "90s", attempts: 2 }, { to: { users: ["bob", "ann", "dan"] } });
      await confirm(talk, "a2", [user]);
      await confirm(talk, "b1", [user], BOB);
      await receipts(talk, user); // dan has no device
      const two = await critical(talk, { by: "user" }, { to: { users: ["bob", "ann"] }, except: "a1" });
      await confirm(talk, "a1", [two]);
      await confirm(talk, "a2", [two]);
      await confirm(talk, "b1", [two], BOB);
      expect((await receipts(talk, two)).body.settlement).toBe("acknowledged");
    },
  },
  {
    name: "a critical event that is not confirmed comes again, and ends in a dead letter",
    async run(talk) {
      const publisher = await talk.stream("topic=tables/*");
      const letters = await talk.stream("topic=roxy/dead-letters", { as: BOSS });
      const kitchen = await device(talk, "kitchen", BOB);
      for (const one of [publisher, letters]) await one.until("roxy:live");
      const cursor = await critical(talk, { by: "device", within: "1s", attempts: 2 }, { correlation: "c" });
      const first = await kitchen.until("order:new");
      expect(first.at(-1)).toMatchObject({ id: cursor, data: { attempt: 1, ack: { id: cursor, by: "device" } } });
      const again = (await kitchen.until("order:new")).at(-1)!;
      expect(again.data.attempt).toBe(2);
      expect(again.id).toBeUndefined();
      const reopened = await device(talk, "kitchen", BOB); // it is offered behind hello
      reopened.close();
      expect((await letters.until("roxy:unacked")).at(-1)!.data.data).toMatchObject({ event: cursor, reason: "attempts", targets: 1 });
      await publisher.until(({ data }) => data.settled !== undefined);
      await confirm(talk, "kitchen", [cursor], BOB);
      await receipts(talk, cursor);
      (await device(talk, "kitchen", BOB)).close();
    },
  },
  {
    name: "a critical event for nobody, and one that expires, are dead letters",
    async run(talk) {
      const publisher = await talk.stream("topic=tables/*");
      await publisher.until("roxy:live");
      const nobody = await critical(talk, { by: "any" });
      await publisher.until(({ data }) => data.settled !== undefined);
      await receipts(talk, nobody);
      const gone = await critical(talk, { by: "user" }, { to: { users: ["dan"] } });
      await publisher.until(({ data }) => data.settled !== undefined);
      await receipts(talk, gone);
      const kitchen = await device(talk, "kitchen", BOB);
      const short = await critical(talk, { by: "any" }, { ttl: "1s" });
      await kitchen.until("order:new");
      await publisher.until(({ data }) => data.settled !== undefined);
      await receipts(talk, short);
      const replayed = await talk.stream("topic=orders/*&topic=roxy/dead-letters&after=earliest", { as: BOSS });
      await replayed.until("roxy:live");
    },
  },
  {
    name: "what is acknowledged and is not there is unknown, and what is wrong is refused",
    async run(talk) {
      const { call } = talk;
      await device(talk, "t1");
      const plain = (await call("POST", "/v1/events", { body: { topic: "orders/1" } })).body.events[0].cursor as string;
      const foreign = await critical(talk, { by: "any" }, { to: { users: ["bob", "ann"] }, topic: "orders/2", except: "t1" });
      await confirm(talk, "t1", [plain, foreign, "anotherlife.1"]);
      for (const body of [
        {},
        { device: "t1" },
        { device: "a b", ids: [] },
        { device: "t1", ids: [] },
        { device: "t1", ids: ["x"] },
        { device: "t1", ids: plain },
        { device: "t1", delivered: "x" },
        { device: "t1", delivered: null },
        { device: "t1", delivered: plain, seen: true },
        { device: "none", delivered: plain },
        [],
      ]) await call("POST", "/v1/acks", { body });
      await call("POST", "/v1/acks", { body: { device: "t1", delivered: plain }, as: BOB });
    },
  },
];
