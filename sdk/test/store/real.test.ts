import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { globalPlatform } from "../../src/browser.ts";
import type { Clock } from "../../src/core/clock.ts";
import { createClient } from "../../src/index.ts";
import { createOutbox, type Decision, memoryStorage, newId, type Outbox, type Settlement, transportOver, type Transport } from "../../src/outbox.ts";
import { createStore, type Store } from "../../src/store.ts";
import { type Hub, startHub } from "../hub.ts";

/** Tells time fifty times as fast, so that a lost reply is repeated within a fifth of a second. */
const { clock } = globalPlatform();
const hasty: Clock = { ...clock, now: () => clock.now() * 50, set: (callback, ms) => setTimeout(callback, ms / 50) };

/** One tablet on the real hub, over a network that loses requests, loses replies and delivers twice, as script says. */
interface Tablet {
  readonly store: Store;
  readonly outbox: Outbox;
  readonly settled: Map<string, Settlement>;
}

function tabletOf(hub: Hub, name: string, topics: string, script: () => number, conflict: () => Decision): Tablet {
  const client = createClient({
    url: hub.url,
    token: hub.token({ sub: name, roles: ["everything"] }),
    device: name,
    topics: [topics],
    snapshot: true,
    onError: () => {},
  });
  const real = transportOver(client);
  const faulty: Transport = {
    ...real,
    async send(mutations) {
      const fault = script();
      if (fault === 0) throw { failure: "unreachable" };
      const results = await real.send(mutations);
      if (fault === 1) throw { failure: "unreachable" };
      return fault === 2 ? real.send(mutations) : results;
    },
  };
  const settled = new Map<string, Settlement>();
  const outbox = createOutbox({
    transport: faulty,
    storage: memoryStorage(),
    clock: hasty,
    newId,
    random: Math.random,
    device: name,
    conflict,
    settled: (s) => {
      expect(settled.has(s.id)).toBe(false); // I9
      settled.set(s.id, s);
    },
  });
  const store = createStore({ outbox, fetch: real.fetch, list: real.list, clock: hasty, follows: [topics] });
  client.messages((batch) => batch.forEach(store.receive));
  outbox.start();
  client.connect();
  onTestFinished(() => {
    store.close();
    outbox.close();
    client.close();
  });
  return { store, outbox, settled };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((soon) => setTimeout(soon, 10));
}

test("what a few tablets do at once ends the same on all of them and on the real hub", async () => {
  const hub = await startHub("limits: { publish: { rate: 100000, burst: 100000 } }");
  const token = hub.token({ sub: "judge", roles: ["everything"] });
  let bar = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(2), fc.nat(9), fc.constantFrom("a", "b", "c"), fc.nat(3), fc.nat(9)), { minLength: 10, maxLength: 40, size: "max" }),
      async (steps) => {
        const prefix = `orders/${++bar}`;
        let turn = 0;
        const script = (): number => steps[turn++ % steps.length]![4];
        const decisions: Decision[] = ["theirs", "mine", { merge: { merged: true } }];
        const tablets = [0, 1, 2].map((i) => tabletOf(hub, `t${bar}-${i}`, `${prefix}/*`, script, () => decisions[turn++ % 3]!));
        for (const [who, what, field, value, pause] of steps) {
          const { store } = tablets[who]!;
          const topic = `${prefix}/${value % 2}`;
          if (what === 0) store.delete(topic);
          else if (what < 4) store.put(topic, { [field]: value, by: { [who]: value } });
          else store.patch(topic, { [field]: what < 6 ? null : value, by: { [who]: what } });
          if (pause < 5) await new Promise((soon) => setTimeout(soon, pause));
        }
        const ended = (t: Tablet): boolean => t.outbox.topics().every((topic) => t.outbox.pending(topic).length === 0);
        await until(() => tablets.every(ended));
        for (const topic of [`${prefix}/0`, `${prefix}/1`]) {
          const answer = await fetch(`${hub.url}/v1/entities/${topic}`, { headers: { Authorization: `Bearer ${token}` } });
          const data = answer.ok ? ((await answer.json()) as { data: unknown }).data : null;
          // The last events may still be on their way: the test's time limit is what "for ever" is.
          for (const t of tablets) await until(() => equal(t.store.entity(topic).get().data ?? null, data));
        }
      },
    ),
    { seed: 6, numRuns: 12 },
  );
}, 60_000);

function equal(a: unknown, b: unknown): boolean {
  try {
    expect(a).toEqual(b);
    return true;
  } catch {
    return false;
  }
}

test("a commit of the real hub is heard once, in whichever order its answer, its event and its receipt come", async () => {
  const hub = await startHub();
  const tablet = tabletOf(hub, "t1", "orders/*", () => 2, () => "theirs");
  const { accepted, settled, id } = tablet.store.put("orders/1", { status: "open", note: null });
  expect(tablet.store.entity("orders/1").get()).toMatchObject({ data: { status: "open" }, pending: ["status"] });
  expect(await accepted).toBe(true);
  expect(await settled).toEqual({ id, topic: "orders/1", status: "committed", version: 1 });
  await until(() => tablet.outbox.pending("orders/1").length === 0);
  expect(tablet.store.entity("orders/1").get()).toEqual({ topic: "orders/1", data: { status: "open" }, version: 1, pending: [] });
});

test("the real hub's refusals roll back exactly what they refuse", async () => {
  const hub = await startHub();
  const { store, outbox } = tabletOf(hub, "t1", "orders/*", () => 9, () => "theirs");
  expect(await store.patch("orders/none", { a: 1 }).settled).toMatchObject({ status: "refused", problem: { code: "not-found" } });
  await store.put("orders/1", { a: 1 }).settled;
  const wrong = store.put("orders/1", { a: 2 }, { guard: "version", type: "roxy:forged" });
  const right = store.patch("orders/1", { b: 2 });
  expect(await wrong.settled).toMatchObject({ status: "refused", problem: { code: "invalid-mutation" } });
  expect(await right.settled).toMatchObject({ status: "committed", version: 2 });
  expect(store.entity("orders/1").get().data).toEqual({ a: 1, b: 2 });
  expect(outbox.troubled().map((e) => e.problem?.code)).toEqual(["not-found", "invalid-mutation"]);
});

test("what was cancelled in time never commits on the real hub", async () => {
  const hub = await startHub();
  const { store, outbox } = tabletOf(hub, "t1", "orders/*", () => 0, () => "theirs"); // nothing arrives
  const lost = store.put("orders/1", { a: 1 });
  await until(() => outbox.pending("orders/1")[0]?.state === "sent");
  expect(await lost.cancel()).toMatchObject({ status: "cancelled" });
  expect(store.entity("orders/1").get().data ?? null).toBe(null);
  const again = await fetch(`${hub.url}/v1/mutations`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${hub.token({ sub: "t1", roles: ["everything"] })}` },
    body: JSON.stringify({ id: lost.id, op: "put", topic: "orders/1", data: { a: 1 } }),
  });
  expect(again.status).toBe(410);
});
