import { expect } from "vitest";
import { BOB, type Case, type Who } from "./place.ts";

const KITCHEN: Who = { sub: "kim", roles: ["kitchen"] };

/** What is published and what is refused (docs/protocol.md §3). */
export const publishing: readonly Case[] = [
  {
    name: "an event gets its place, and the answer says which",
    async run({ call }) {
      const { body } = await call("POST", "/v1/events", { body: { topic: "orders/7", type: "order:new", data: { table: 7 } } });
      expect(body.events).toHaveLength(1);
      await call("POST", "/v1/events", { body: [{ topic: "orders/7" }, { topic: "orders/8", id: "k-1", data: null }] });
      await call("POST", "/v1/events", { body: { topic: "orders/7", ephemeral: true } });
      await call("POST", "/v1/events", { body: [{ topic: "orders/7", ephemeral: true, id: "e" }, { topic: "orders/7" }] });
    },
  },
  {
    name: "a key that is used again gets the first result, and another event with it is refused",
    async run({ call }) {
      const event = { topic: "orders/7", id: "k", data: { a: 1, b: [1, 2] }, to: { roles: ["waiter", "kitchen"] } };
      await call("POST", "/v1/events", { body: event });
      const again = await call("POST", "/v1/events", { body: event, headers: { traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01" } });
      expect(again.body.events[0].duplicate).toBe(true);
      await call("POST", "/v1/events", { body: { ...event, to: { roles: ["kitchen", "waiter", "kitchen"] } } });
      await call("POST", "/v1/events", { body: { ...event, data: { b: [1, 2], a: 1 } } });
      await call("POST", "/v1/events", { body: { ...event, urgent: true } });
      await call("POST", "/v1/events", { body: event, as: BOB });
      await call("POST", "/v1/events", { body: { topic: "orders/7", data: 2 }, headers: { "Idempotency-Key": '"k"' } });
      await call("POST", "/v1/events", { body: { topic: "orders/7", data: 2 }, headers: { "Idempotency-Key": "k-2" } });
      await call("POST", "/v1/events", { body: { topic: "orders/7", data: 2, id: "k-2" } });
      await call("POST", "/v1/events", { body: { topic: "orders/7", data: 2, id: "k-3" }, headers: { "Idempotency-Key": "k-2" } });
      await call("POST", "/v1/events", { body: [{ topic: "orders/7" }], headers: { "Idempotency-Key": "k-4" } });
      await call("POST", "/v1/events", { body: { topic: "orders/7" }, headers: { "Idempotency-Key": '"half' } });
    },
  },
  {
    name: "a batch is committed all or none, and its refusal says which event is at fault",
    async run({ call }) {
      await call("POST", "/v1/events", { body: [{ topic: "orders/1", id: "a" }, { topic: "orders//2" }] });
      await call("POST", "/v1/events", { body: [{ topic: "orders/1", id: "a" }, { topic: "menu/1" }], as: KITCHEN });
      await call("POST", "/v1/events", { body: [{ topic: "menu/1" }], as: KITCHEN });
      await call("POST", "/v1/events", { body: [{ topic: "orders/1" }, { topic: "orders/1", type: "roxy:x" }] });
      await call("POST", "/v1/events", { body: [{ topic: "orders/1", id: "a" }, { topic: "orders/2", id: "b" }, { topic: "orders/1", id: "a" }] });
      const reused = await call("POST", "/v1/events", { body: [{ topic: "orders/3", ephemeral: true }, { topic: "orders/3", id: "c" }, { topic: "orders/3", id: "a" }] });
      expect(reused).toMatchObject({ status: 422, body: { code: "key-reused", member: "[2].id" } });
      const after = await call("POST", "/v1/events", { body: { topic: "orders/3", id: "c", data: 1 } });
      expect(after.body.events[0]).toMatchObject({ offset: 3, duplicate: false });
      await call("POST", "/v1/events", { body: Array.from({ length: 1001 }, () => ({ topic: "orders/1" })) });
      await call("POST", "/v1/events", { body: [] });
    },
  },
  {
    name: "what an event may not be is refused, and the member named",
    async run({ call }) {
      const bodies: unknown[] = [
        {},
        { topic: "" },
        { topic: null },
        { topic: 7 },
        { topic: "a b" },
        { topic: "roxy/presence" },
        { topic: "orders/*" },
        { topic: Array.from({ length: 17 }, () => "a").join("/") },
        { topic: "x".repeat(257) },
        { topic: "orders/1", type: "" },
        { topic: "orders/1", type: "roxy:hello" },
        { topic: "orders/1", type: "a\nb" },
        { topic: "orders/1", type: "x".repeat(129) },
        { topic: "orders/1", typ: "x" },
        { topic: "orders/1", to: { roles: ["a", ""] } },
        { topic: "orders/1", to: { role: ["a"] } },
        { topic: "orders/1", to: ["a"] },
        { topic: "orders/1", to: { users: Array.from({ length: 257 }, (_, i) => `u${i}`) } },
        { topic: "orders/1", to: { users: Array.from({ length: 200 }, (_, i) => `u${i}`), roles: Array.from({ length: 200 }, (_, i) => `r${i}`) } },
        { topic: "orders/1", ttl: "0s" },
        { topic: "orders/1", ttl: "soon" },
        { topic: "orders/1", ttl: 5 },
        { topic: "orders/1", ephemeral: "yes" },
        { topic: "orders/1", except: "a b" },
        { topic: "orders/1", ack: {} },
        { topic: "orders/1", ack: { by: "everybody" } },
        { topic: "orders/1", ack: { by: "any", within: "500ms" } },
        { topic: "orders/1", ack: { by: "any", within: "2h" } },
        { topic: "orders/1", ack: { by: "any", attempts: 0 } },
        { topic: "orders/1", ack: { by: "any", attempts: 1.5 } },
        { topic: "orders/1", ack: { by: "any", attempts: 21 } },
        { topic: "orders/1", ack: { by: "any", soon: true } },
        { topic: "orders/1", ack: { by: "any" }, ephemeral: true },
        { topic: "orders/1", data: "x".repeat(65_536) },
        [{ topic: "orders/1", to: { roles: ["a", 7] } }],
        [[]],
        "7",
        "",
        "{",
        '{"topic":"orders/1"} x',
        '{"topic":"orders/1","topic":"orders/2"}',
        '{"topic":"orders/1","data":{"a":1,"a":2}}',
        '[{"topic":"orders/1","data":[{"a":1,"a":2}]}]',
        '{"topic":"orders/1","data":"\\ud800"}',
        '{"topic":"orders/1","data":01}',
        '{"topic":"orders/1","data":[1,]}',
        '{"topic":"orders/1","data":[1,x]}',
        '{"topic":"orders/1","data":[1 2]}',
        '{"topic":"orders/1","data":{"a" 1}}',
        '{"topic":"orders/1","data":{"a":1 "b":2}}',
        '{"topic":"orders/1","data":{"a":}}',
        '{"topic":"orders/1","data":{"a":[{"b":"x\ny"}]}}',
        '{"topic":"orders/1","data":{a:1}}',
        '{"topic":"orders/1","data"',
        '{"topic":"orders/1","data":',
        '{"topic":"orders/1","data":{"a":tru}}',
        '{"topic":"orders/1",}',
        '\ufeff{"topic":"orders/1"}',
        `{"topic":"orders/1","data":${"[".repeat(65)}${"]".repeat(65)}}`,
      ];
      for (const body of bodies) expect((await call("POST", "/v1/events", { body })).status).toBeGreaterThanOrEqual(400);
      const deepest = `{"topic":"orders/1","data":${"[".repeat(64)}${"]".repeat(64)}}`;
      expect((await call("POST", "/v1/events", { body: deepest })).body.events[0].offset).toBe(1); // nothing of all that was stored
    },
  },
  {
    name: "data arrives as it was written, but for white space",
    async run({ call, stream }) {
      const listening = await stream("topic=orders/*");
      await listening.until("roxy:live");
      for (const data of ['{ "b" : 1, "a" : [ 1 , null , "x y" ] }', '"é\\u00e9 \\" "', "12345", "null", "false", "[]", "{}"]) {
        await call("POST", "/v1/events", { body: `{"topic":"orders/1","data":${data}}` });
      }
      await call("POST", "/v1/events", { body: { topic: "orders/1", type: "last", correlation: "c", data: 0 }, as: BOB, headers: { traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01" } });
      await call("POST", "/v1/events", { body: { topic: "orders/1", type: "broken", data: 0 }, headers: { traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef" } });
      await listening.until("broken");
    },
  },
  {
    name: "whoever may not, or is nobody, is told so",
    async run({ call }) {
      const body = { topic: "orders/7" };
      await call("POST", "/v1/events", { body, as: null });
      await call("POST", "/v1/events", { body, as: "no.such.token" });
      await call("POST", "/v1/events", { body, as: { sub: "old", roles: ["everything"], expires: -60 } });
      await call("POST", "/v1/events", { body, as: { sub: "none", roles: ["stranger"] } });
      await call("POST", "/v1/events", { body, as: { sub: "none", roles: [], roxy: { publish: ["orders/*"] } } });
      await call("POST", "/v1/events", { body: { topic: "orders/7/lines" }, as: KITCHEN });
      await call("POST", "/v1/events", { body: "{", as: null });
      await call("GET", "/v1/presence?topic=orders/7", { as: null, headers: { Authorization: "Basic x" } });
    },
  },
  {
    name: "a ticket is good once, buys no other, and a token does not belong in a URL",
    async run({ call, stream }) {
      const buy = async (): Promise<string> => (await call("POST", "/v1/tickets")).body.ticket;
      const ticket = await buy();
      expect(await call("GET", `/v1/devices?ticket=${ticket}`, { as: null })).toMatchObject({ status: 200 });
      expect(await call("GET", `/v1/devices?ticket=${ticket}`, { as: null })).toMatchObject({ status: 401 });
      const listening = await stream(`topic=orders/*&ticket=${await buy()}`, { as: null });
      await listening.until("roxy:live");
      await call("POST", `/v1/tickets?ticket=${await buy()}`, { as: null });
      await call("POST", "/v1/tickets", { as: null });
      await call("GET", "/v1/devices?ticket=none", { as: null });
      await call("GET", "/v1/devices?ticket=a&ticket=b", { as: null });
      await call("POST", "/v1/tickets?ticket=x");
      await call("GET", "/v1/devices?access_token=x");
    },
  },
];
