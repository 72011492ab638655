import { expect, test } from "vitest";
import type { RoxyEvent } from "../../src/index.ts";
import { createPublisher, type EmitOptions } from "../../src/server.ts";
import { publicationOf } from "../../src/server/emit.ts";
import { clientOf, live, until } from "../client.ts";
import { startHub } from "../hub.ts";

const base = { topic: "orders/7", type: "order:new", data: { table: 3 } };

test.each<[string, EmitOptions, object]>([
  ["nothing", {}, {}],
  ["targetRoles", { targetRoles: ["kitchen"] }, { to: { roles: ["kitchen"] } }],
  ["roles", { roles: ["kitchen", "till"] }, { to: { roles: ["kitchen", "till"] } }],
  ["targetUsers", { targetUsers: ["ann"] }, { to: { users: ["ann"] } }],
  ["both", { roles: ["kitchen"], targetUsers: ["ann"] }, { to: { roles: ["kitchen"], users: ["ann"] } }],
  ["ttl", { ttl: 90_000 }, { ttl: "90000ms" }],
  ["low and normal priority", { priority: "low" }, {}],
  ["high priority", { priority: "high" }, { urgent: true }],
  ["critical priority", { priority: "critical" }, { urgent: true, ack: { by: "any" } }],
  ["critical", { critical: true, priority: "critical" }, { urgent: true, ack: { by: "any" } }],
  ["what is not critical", { critical: false, requiresAck: false }, {}],
  ["requiresAck", { requiresAck: true }, { ack: { by: "any" } }],
  ["requireAck of users", { requireAck: true, targetUsers: ["ann", "bob"] }, { to: { users: ["ann", "bob"] }, ack: { by: "user" } }],
  ["requireAck of roles and users", { requireAck: true, targetUsers: ["ann"], roles: ["till"] }, { to: { roles: ["till"], users: ["ann"] }, ack: { by: "any" } }],
  ["correlationId", { correlationId: "c-1" }, { correlation: "c-1" }],
])("emit maps %s", (_, options, publication) => {
  expect(publicationOf(base.type, base.topic, base.data, options)).toEqual({ ...base, ...publication });
});

test.each<[string, object, string]>([
  ["an unknown option", { tll: 5 }, "tll: there is no such option: want topic, targetRoles,"],
  ["a version", { version: 7 }, "version: versions are the hub's: guard a change by mutate"],
  ["an entity", { entity: "order" }, "entity: an entity is changed by mutate"],
  ["a delta", { delta: true }, "delta: changed fields alone travel by mutate"],
  ["two names of one option", { roles: ["a"], targetRoles: ["a"] }, "roles: it is the same as targetRoles"],
  ["nobody", { targetUsers: [] }, "targetUsers: want names, at least one: []"],
  ["a name that is no list", { roles: "kitchen" }, 'roles: want names, at least one: "kitchen"'],
  ["a ttl that is over", { ttl: 0 }, "ttl: want whole milliseconds, more than 0: 0"],
  ["a ttl in words", { ttl: "5m" }, 'ttl: want whole milliseconds, more than 0: "5m"'],
  ["another priority", { priority: "urgent" }, 'priority: want one of low, normal, high, critical: "urgent"'],
  ["a contradiction", { priority: "critical", critical: false }, "critical: it contradicts the priority"],
  ["a critical event that nobody confirms", { critical: true, requireAck: false }, "requireAck: what is critical must be confirmed"],
  ["a word for a flag", { requiresAck: "yes" }, 'requiresAck: want true or false, not "yes"'],
])("emit refuses %s, by name", (_, options, reason) => {
  expect(() => publicationOf(base.type, base.topic, base.data, options)).toThrow(`emit "order:new": ${reason}`);
});

test("what is emitted reaches whom it is for, and what is critical asks to be confirmed", async () => {
  const hub = await startHub();
  const heard: Record<string, RoxyEvent[]> = { waiter: [], kitchen: [] };
  for (const role of ["waiter", "kitchen"]) {
    const client = clientOf(hub, { token: hub.token({ sub: role, roles: [role] }), device: `${role}-1` });
    client.subscribe("*", (event) => heard[role]!.push(event));
    await live(client);
  }
  const app = createPublisher<{ "order:new": { id: number; table: number }; "order:ready": string }>({
    url: hub.url,
    token: hub.token({ sub: "app", roles: ["everything"] }),
    topics: { "order:new": ({ id }) => `orders/${id}`, "order:ready": "orders/all" },
  });
  await app.emit("order:new", { id: 7, table: 3 }, { targetRoles: ["kitchen"], priority: "critical", correlationId: "party 3" });
  await app.emit("order:ready", "soon");
  await app.emit("order:ready", "now", { topic: "orders/7" });
  const orders = await until(() => heard["kitchen"]!.length >= 3 && heard["kitchen"]!);
  expect(orders[0]).toMatchObject({ topic: "orders/7", type: "order:new", data: { id: 7, table: 3 }, correlation: "party 3", ack: { by: "any" } });
  await until(() => heard["waiter"]!.length >= 2);
  expect(heard["waiter"]!.map(({ topic, data }) => [topic, data])).toEqual([["orders/all", "soon"], ["orders/7", "now"]]);
});

test("what is emitted without a place to go is refused", async () => {
  const app = createPublisher({ url: "http://127.0.0.1:9", token: "t" });
  await expect(app.emit("order:new", {})).rejects.toThrow('emit "order:new": topic: say where it goes, here or once for all in createPublisher({ topics: { "order:new": … } })');
});
