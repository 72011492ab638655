import { expect } from "vitest";
import { BOB, type Case, type Who } from "./place.ts";

const MERGE = { "Content-Type": "application/merge-patch+json" };
const KITCHEN: Who = { sub: "kim", roles: ["kitchen"] };
/** Writes and does not read. */
const BLIND: Who = { sub: "ben", roles: [], roxy: { write: ["orders/*"] } };

/** Entities one by one (docs/protocol.md §6). */
export const entities: readonly Case[] = [
  {
    name: "an entity is put, patched, read and deleted, and its versions go on",
    async run({ call, stream }) {
      const listening = await stream("topic=orders/*");
      await listening.until("roxy:live");
      const path = "/v1/entities/orders/1";
      await call("GET", path);
      await call("PUT", path, { body: { b: 1, a: { x: 1, y: null, z: { n: null } }, list: [null, { n: null }], gone: null } });
      await call("GET", path);
      await call("PATCH", path, { body: { b: null, a: { x: 2, w: { deep: null } }, list: [1] }, headers: MERGE });
      await call("PATCH", path, { body: {}, headers: MERGE });
      await call("PUT", path, { body: { a: { x: 2 }, c: "new" } });
      await call("PUT", path, { body: { c: "new", a: { x: 2 } } });
      await call("DELETE", path);
      await call("GET", path);
      await call("DELETE", path);
      await call("PATCH", path, { body: { a: 1 }, headers: MERGE });
      await call("PUT", path, { body: {} });
      await call("PUT", path, { body: { a: [] }, headers: { "Roxy-Type": "order:reopened", "Roxy-Correlation": "c-1", "Idempotency-Key": "m-1", "Roxy-Device": "tablet-1", "Roxy-Seq": "4" } });
      await listening.until("order:reopened");
      const read = await call("GET", path);
      expect(read.body).toMatchObject({ version: 8, data: { a: [] } });
      await call("GET", path, { headers: { "If-None-Match": '"8"' } });
      await call("GET", path, { headers: { "If-None-Match": 'W/"7", "8"' } });
      await call("GET", path, { headers: { "If-None-Match": '"7"' } });
      await call("HEAD", path);
    },
  },
  {
    name: "the headers of a write guard it",
    async run({ call }) {
      const path = "/v1/entities/orders/1";
      const put = (headers: Record<string, string>, n: number): Promise<unknown> => call("PUT", path, { body: { n }, headers });
      await put({ "If-Match": "*" }, 1);
      await put({ "If-Match": '"1"' }, 1);
      await put({ "If-None-Match": "*" }, 2);
      await put({ "If-None-Match": "*" }, 3);
      await put({ "If-Match": '"1"' }, 4);
      await put({ "If-Match": '"1"' }, 5);
      await put({ "If-Match": "*" }, 6);
      await put({ "Roxy-Base": "1" }, 7);
      await put({ "Roxy-Base": "9" }, 7);
      await put({ "Roxy-Base": "3" }, 8);
      await put({ "Roxy-Base": "3", "If-Match": "*" }, 9);
      for (const header of [{ "If-Match": "7" }, { "If-Match": '"a"' }, { "If-Match": '"1", "2"' }, { "If-None-Match": '"1"' }, { "Roxy-Base": "x" }, { "Roxy-Seq": "-1" }]) await put(header as Record<string, string>, 9);
      await put({ "Roxy-Device": "a b" }, 9);
      await put({ "Roxy-Seq": "3" }, 9);
      await put({ "Roxy-Type": "roxy:x" }, 9);
      await call("DELETE", path, { headers: { "If-Match": '"1"' } });
      await call("PATCH", path, { body: { n: 10 }, headers: { ...MERGE, "Roxy-Base": "1" } });
      await call("DELETE", path, { headers: { "Roxy-Base": "4" } });
      await put({ "If-None-Match": "*" }, 11);
    },
  },
  {
    name: "what an entity may not be is refused, and the member named",
    async run({ call }) {
      const path = "/v1/entities/orders/1";
      for (const body of ["[]", "7", "null", "{", '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', "", `{"a":${"[".repeat(64)}${"]".repeat(64)}}`]) {
        await call("PUT", path, { body });
        await call("PATCH", path, { body, headers: MERGE });
      }
      await call("PUT", path, { body: { big: "x".repeat(65_536) } });
      await call("PUT", path, { body: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`f${i}`, 1])) });
      await call("PUT", path, { body: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`f${i}`, 1])) });
      await call("PATCH", path, { body: { one: "more" }, headers: MERGE });
      for (const topic of ["roxy/x", "a%20b", "a//b", "a/%2e%2e/b", "a/./b", "x".repeat(257), "*"]) await call("PUT", `/v1/entities/${topic}`, { body: {} });
      await call("PUT", path, { body: {}, as: KITCHEN });
      await call("GET", "/v1/entities/menu/1", { as: KITCHEN });
      await call("PUT", "/v1/entities/menu/1", { body: {}, as: BLIND });
      await call("PUT", "/v1/entities/orders/9", { body: { a: 1 }, as: BLIND });
      const conflict = await call("PUT", "/v1/entities/orders/9", { body: { a: 1 }, as: BLIND, headers: { "If-None-Match": "*" } });
      expect(conflict.body.current).toBeUndefined();
    },
  },
  {
    name: "entities are listed by pattern, page by page",
    async run({ call }) {
      for (const topic of ["orders/2", "orders/10", "orders/1", "tables/1", "orders/1/x"]) await call("PUT", `/v1/entities/${topic}`, { body: { topic } });
      await call("DELETE", "/v1/entities/orders/2");
      await call("PUT", "/v1/entities/orders/3", { body: {} });
      await call("GET", "/v1/entities?match=orders/*");
      await call("GET", "/v1/entities?match=**&limit=1000");
      let page = "";
      for (let i = 0; i < 3; i++) {
        const { body } = await call("GET", `/v1/entities?match=orders/*&limit=1${page}`);
        await call("PUT", "/v1/entities/tables/1", { body: { i } });
        page = body.page === undefined ? "" : `&page=${body.page}`;
      }
      expect(page).toBe("");
      for (const query of ["", "match=", "match=orders/*&limit=0", "match=orders/*&limit=1001", "match=orders/*&limit=x", "match=orders/*&page=x", "match=a&match=b", "match=orders/*&x=1"]) {
        await call("GET", `/v1/entities?${query}`);
      }
      await call("GET", "/v1/entities?match=**", { as: KITCHEN });
      await call("GET", "/v1/entities?match=orders/*", { as: KITCHEN });
    },
  },
];

/** Bulk calls, guards, results and cancellation (docs/protocol.md §6). */
export const mutations: readonly Case[] = [
  {
    name: "mutations are committed all or none, in order",
    async run({ call, stream }) {
      const listening = await stream("topic=orders/*");
      await listening.until("roxy:live");
      const send = (body: unknown): Promise<unknown> => call("POST", "/v1/mutations", { body });
      await send({ op: "put", topic: "orders/1", data: { a: 1 } });
      await send([{ id: "a", op: "patch", topic: "orders/1", patch: { a: 2 } }, { id: "b", op: "put", topic: "orders/2", data: { b: 1 } }, { op: "delete", topic: "orders/1" }]);
      await send([{ id: "c", op: "put", topic: "orders/3", data: {} }, { id: "d", op: "patch", topic: "orders/9", patch: {} }]);
      await send([{ id: "c", op: "put", topic: "orders/3", data: { free: true } }]);
      await send([{ op: "put", topic: "orders/4", data: {} }, { op: "put", topic: "orders/4", data: {}, guard: "version", base: 0 }]);
      await send([{ op: "put", topic: "orders/4", data: {} }, { op: "patch", topic: "orders/4", patch: { x: 1 }, guard: "version", base: 1 }, { op: "put", topic: "orders/4", data: { last: true }, type: "last" }]);
      await listening.until("last");
      await call("POST", "/v1/mutations/status", { body: { ids: ["a", "b", "c", "d", "never"] } });
    },
  },
  {
    name: "an id that is used again gets the first result, and another mutation with it is refused",
    async run({ call }) {
      const m = { id: "m", op: "put", topic: "orders/1", data: { a: 1, b: null }, device: "t", seq: 1 };
      const send = (body: unknown, as = { sub: "ann", roles: ["everything"] }): ReturnType<typeof call> => call("POST", "/v1/mutations", { body, as });
      await send(m);
      await call("PUT", "/v1/entities/orders/1", { body: { other: true } });
      expect((await send(m)).body.results[0]).toMatchObject({ version: 1, duplicate: true });
      await send({ ...m, data: { a: 1 } }); // null is absence
      await send({ ...m, data: { a: 2 } });
      await send({ ...m, seq: 2 });
      await send(m, { sub: "bob", roles: ["everything"] });
      await send([m, { id: "n", op: "delete", topic: "orders/1" }, { id: "n", op: "delete", topic: "orders/1" }]);
      await send([{ id: "o", op: "put", topic: "orders/1", data: {} }, { id: "o", op: "put", topic: "orders/2", data: {} }]);
      const refused = { id: "r", op: "put", topic: "orders/1", data: { x: 1 }, guard: "version", base: 1 };
      await send(refused);
      await call("PUT", "/v1/entities/orders/1", { body: { moved: "on" } });
      await send(refused);
      await send({ ...refused, base: 4 });
      await call("PUT", "/v1/entities/orders/5", { body: {}, headers: { "Idempotency-Key": "m" } });
      await call("POST", "/v1/mutations", { body: { op: "put", topic: "orders/5", data: {} }, headers: { "Idempotency-Key": "k" } });
      await call("POST", "/v1/mutations", { body: [{ op: "put", topic: "orders/5", data: {} }], headers: { "Idempotency-Key": "k" } });
      await call("POST", "/v1/mutations", { body: { id: "x", op: "put", topic: "orders/5", data: {} }, headers: { "Idempotency-Key": "k" } });
      await call("POST", "/v1/mutations", { body: [{ op: "put", topic: "orders/5", data: {} }, { op: "put", topic: "orders/5", data: {} }], headers: { "Idempotency-Key": "k" } });
      await call("POST", "/v1/mutations/status", { body: { ids: ["m", "r", "n", "o", "k"] } });
    },
  },
  {
    name: "a guard of fields lets others edit other fields, and the same device its own",
    async run({ call }) {
      const send = (body: object, as: Who = { sub: "ann", roles: ["everything"] }): ReturnType<typeof call> => call("POST", "/v1/mutations", { body: { topic: "orders/1", ...body }, as });
      await send({ op: "put", data: { a: 1, b: 1, c: { x: 1 } } });
      await send({ op: "patch", patch: { a: 2 }, device: "t1", seq: 1, guard: "fields", base: 1 });
      await send({ op: "patch", patch: { b: 2 }, guard: "fields", base: 1 }, BOB);
      await send({ op: "patch", patch: { a: 3 }, guard: "fields", base: 1 }, BOB);
      await send({ op: "patch", patch: { a: 2 }, guard: "fields", base: 1 }, BOB); // the same value
      await send({ op: "patch", patch: { a: 3 }, device: "t1", seq: 2, guard: "fields", base: 1 });
      await send({ op: "patch", patch: { a: 4 }, device: "t1", seq: 2, guard: "fields", base: 1 });
      await send({ op: "patch", patch: { a: 4 }, device: "t2", seq: 9, guard: "fields", base: 1 });
      await send({ op: "put", data: { a: 9, b: 9, c: { x: 1 }, d: 1 }, guard: "fields", base: 1 });
      await send({ op: "patch", patch: { c: { y: 1 }, e: null }, guard: "fields", base: 1 });
      await send({ op: "delete", guard: "fields", base: 1 });
      await send({ op: "delete", guard: "fields", base: 6 });
      await send({ op: "patch", patch: { a: 1 }, guard: "fields", base: 6 });
      await send({ op: "put", data: { z: 1 }, guard: "fields", base: 6 });
      await send({ op: "put", data: { z: 1 }, guard: "fields", base: 7 });
      await send({ op: "patch", patch: { z: 2 }, guard: "fields", base: 99 });
      const conflict = await send({ op: "patch", patch: { z: 2 }, guard: "fields", base: 0 });
      expect(conflict).toMatchObject({ status: 409, body: { code: "version-conflict", fields: ["z"], current: { data: { z: 1 } } } });
    },
  },
  {
    name: "a guard of the version tells what it ran into",
    async run({ call }) {
      const send = (body: object): ReturnType<typeof call> => call("POST", "/v1/mutations", { body: { topic: "orders/1", ...body } });
      await send({ op: "put", data: {}, guard: "version", base: 3 });
      await send({ op: "patch", patch: {}, guard: "version", base: 3 });
      await send({ op: "put", data: { a: 1 }, guard: "version", base: 0 });
      await send({ op: "put", data: { a: 2 }, guard: "version", base: 0 });
      await send({ op: "patch", patch: { a: 2 }, guard: "version", base: 1 });
      await send({ op: "delete", guard: "version", base: 1 });
      await send({ op: "delete", guard: "version", base: 2 });
      await send({ op: "patch", patch: {}, guard: "version", base: 2 });
      await send({ op: "put", data: { b: 1 }, guard: "version", base: 3 });
      await send({ op: "delete" });
      await send({ op: "put", data: { b: 1 }, guard: "version", base: 0 });
    },
  },
  {
    name: "what was cancelled in time never commits, and what was decided stays",
    async run({ call }) {
      const m = { id: "late", op: "put", topic: "orders/1", data: {} };
      await call("DELETE", "/v1/mutations/late");
      await call("DELETE", "/v1/mutations/late");
      expect(await call("POST", "/v1/mutations", { body: m })).toMatchObject({ status: 410 });
      await call("POST", "/v1/mutations", { body: m, as: BOB });
      await call("POST", "/v1/mutations", { body: { ...m, id: "done" } });
      await call("DELETE", "/v1/mutations/done");
      await call("POST", "/v1/mutations", { body: { op: "patch", patch: {}, topic: "orders/9", id: "refused/%" } });
      await call("DELETE", `/v1/mutations/${encodeURIComponent("refused/%")}`);
      await call("DELETE", "/v1/mutations/status");
      await call("DELETE", "/v1/mutations/late", { as: KITCHEN });
      await call("DELETE", `/v1/mutations/${"x".repeat(129)}`);
      await call("POST", "/v1/mutations/status", { body: { ids: ["late", "done", "status", "refused/%"] } });
      await call("PUT", "/v1/entities/orders/2", { body: {}, headers: { "Idempotency-Key": "late" } });
    },
  },
  {
    name: "a device hears what became of its mutations",
    async run({ call, stream }) {
      const listening = await stream("topic=tables/*&device=t1");
      const other = await stream("topic=tables/*&device=t2");
      const foreign = await stream("topic=tables/*&device=t3", { as: BOB });
      for (const one of [listening, other, foreign]) await one.until("roxy:live");
      const send = (body: object): ReturnType<typeof call> => call("POST", "/v1/mutations", { body: { op: "put", topic: "orders/1", device: "t1", ...body } });
      await send({ id: "a", seq: 1, data: { a: 1 } });
      await send({ id: "a", seq: 1, data: { a: 1 } });
      await send({ seq: 2, data: { unnamed: true } });
      await send({ id: "b", seq: 3, data: {}, guard: "version", base: 9 });
      await send({ id: "b", seq: 3, data: {}, guard: "version", base: 9 });
      await send({ id: "a", seq: 9, data: {} });
      await call("DELETE", "/v1/mutations/c");
      await send({ id: "c", seq: 4, data: {} });
      await call("POST", "/v1/mutations", { body: [{ id: "d", op: "put", topic: "orders/1", data: { x: 1 }, device: "t1" }, { id: "e", op: "put", topic: "orders/1", data: {}, device: "t2" }] });
      await call("POST", "/v1/mutations", { body: { id: "f", op: "delete", topic: "orders/1", device: "t3" } });
      await call("POST", "/v1/mutations", { body: { id: "g", op: "put", topic: "orders/1", data: {}, device: "t3" }, as: BOB });
      await send({ id: "last", data: { last: true } });
      const receipts = await listening.until(({ data }) => data.id === "last");
      expect(receipts.map(({ data }) => `${data.id} ${data.status}`)).toEqual(["a committed", "a committed", "b refused", "b refused", "c cancelled", "d committed", "last committed"]);
      await other.until(({ data }) => data.id === "e");
      await foreign.until(({ data }) => data.id === "g");
    },
  },
  {
    name: "what a mutation may not be is refused, and the member named",
    async run({ call }) {
      const bodies: unknown[] = [
        {},
        { op: "put" },
        { op: "put", topic: "orders/1" },
        { op: "patch", topic: "orders/1" },
        { op: "upsert", topic: "orders/1", data: {} },
        { op: "put", topic: "orders/1", patch: {} },
        { op: "patch", topic: "orders/1", data: {} },
        { op: "delete", topic: "orders/1", data: {} },
        { op: "put", topic: "orders/1", data: [] },
        { op: "put", topic: "orders/1", data: null },
        { op: "put", topic: "orders/1", data: {}, guard: "maybe" },
        { op: "put", topic: "orders/1", data: {}, guard: "fields" },
        { op: "put", topic: "orders/1", data: {}, base: 1 },
        { op: "put", topic: "orders/1", data: {}, guard: "version", base: -1 },
        { op: "put", topic: "orders/1", data: {}, guard: "version", base: 1.5 },
        { op: "put", topic: "orders/1", data: {}, guard: "version", base: "1" },
        { op: "put", topic: "orders/1", data: {}, seq: 1 },
        { op: "put", topic: "orders/1", data: {}, device: "a b" },
        { op: "put", topic: "orders/1", data: {}, device: "d", seq: 2 ** 53 },
        { op: "put", topic: "orders/1", data: {}, type: "roxy:x" },
        { op: "put", topic: "orders/1", data: {}, id: "" },
        { op: "put", topic: "orders/1", data: {}, by: "me" },
        { op: "put", topic: "roxy/x", data: {} },
        { op: "put", topic: "a/../b", data: {} },
        { op: "put", topic: "a b", data: {} },
        [],
        [{ op: "put", topic: "orders/1", data: {} }, { op: "put", topic: "orders/1", data: {}, x: 1 }],
        [{ op: "put", topic: "orders/1", data: {} }, { op: "put", topic: "roxy/x", data: {} }],
        [{ op: "put", topic: "roxy/x", data: {} }],
        [{ op: "put", topic: "orders/1", data: {}, guard: "version" }],
        [{ op: "patch", topic: "orders/1", patch: {} }],
        "x",
      ];
      for (const body of bodies) expect((await call("POST", "/v1/mutations", { body })).status).toBeGreaterThanOrEqual(400);
      await call("POST", "/v1/mutations", { body: Array.from({ length: 1001 }, () => ({ op: "delete", topic: "orders/1" })) });
      for (const body of [{}, { ids: [] }, { ids: "a" }, { ids: [""] }, { ids: ["a"], x: 1 }, [], { ids: Array.from({ length: 1001 }, () => "a") }]) await call("POST", "/v1/mutations/status", { body });
      await call("POST", "/v1/mutations", { body: { op: "put", topic: "orders/1", data: {} }, as: KITCHEN });
    },
  },
];
