import "fake-indexeddb/auto";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { createClient } from "../../src/index.ts";
import { expectSpaced } from "../attempts.ts";
import { clientOf, until } from "../client.ts";
import { type Hub, startHub } from "../hub.ts";
import { startProxy } from "../proxy.ts";
import { steps } from "../store/house.ts";
import { createStorm } from "./storm.ts";
import { nameOf, openTablet, type Tablet } from "./tablet.ts";

/** More evenings: ROXY_CHAOS_ROUNDS=20; a certain one: ROXY_CHAOS_SEED=7. */
const { ROXY_CHAOS_ROUNDS: rounds = "1", ROXY_CHAOS_SEED: first = "1" } = process.env;
const seeds = Array.from({ length: Number(rounds) }, (_, i) => Number(first) + i);

const CUTS = 200;
/** One machine in place of many. */
const LIMITS = `
limits:
  connections: { perIP: 100000, perUser: 100000, perTenant: 100000, attemptsPerIP: 100000 }
  publish: { rate: 100000, burst: 100000 }
  publishTenant: { rate: 100000, burst: 100000 }`;

interface Entity {
  readonly topic: string;
  readonly version: number;
  readonly data: unknown;
}

test.each(seeds)("two hundred cuts and a hub that is killed three times cost no event and no mutation, and no screen differs (seed %i)", async (seed) => {
  const hub = await startHub(LIMITS);
  const proxy = await startProxy(hub);
  const judge = { headers: { Authorization: `Bearer ${hub.token({ sub: "judge", roles: ["everything"] })}` } };
  const ask = async <T>(path: string): Promise<T> => (await (await fetch(`${hub.url}${path}`, judge)).json()) as T;

  const over = ["sse", "ws", "sse", "eventsource", "sse", "ws", "sse", "eventsource", "ws", "sse"] as const;
  const tablets = over.map((transport, i) => openTablet(hub, proxy, `tablet-${i}`, transport));
  onTestFinished(() => tablets.forEach((tablet) => tablet.close()));
  await proxy.faults({ client: tablets[2]!.page, delay: 5, jitter: 15 }); // one is far away
  await until(() => tablets.every(({ client }) => client.continuity.get() === "ok"));
  expect(tablets.map(({ client }) => client.inspect().transport)).toEqual(over);
  const { cursor } = tablets[0]!.client.inspect(); // nothing has happened yet

  const storm = createStorm(proxy, tablets);
  let kills = 0;
  for (const step of fc.sample(steps, { seed, numRuns: 5_000 })) {
    const cuts = await storm.cuts();
    if (cuts >= CUTS) break;
    if (cuts >= ((kills + 1) * CUTS) / 4) {
      kills++;
      await hub.kill();
      await hub.start();
    }
    await storm.play(step);
  }
  expect(await storm.cuts()).toBeGreaterThanOrEqual(CUTS);
  expect(kills).toBe(3);
  await storm.end();

  // All that is under way comes to its end: the test's time limit is what "for ever" is.
  const decided = (tablet: Tablet): boolean => {
    for (const { id, state } of tablet.entities.troubled.get()) if (state === "held") tablet.entities.resolve(id, "theirs");
    return tablet.entities.waiting.get() === 0;
  };
  await until(() => tablets.every(decided));
  const published = (await Promise.all(storm.published)).map((event) => event.cursor!);
  const log = await replay(hub, cursor!);
  const critical = log.filter(({ ack }) => ack).map(({ ack }) => ack!.id);
  await until(() => tablets.every(({ handled }) => log.every((event) => handled.has(nameOf(event)))));

  // No event is lost, none is handled twice. What a reloaded page had handled and not confirmed comes again: it is at least once there.
  const names = log.map(nameOf).sort();
  expect(new Set(published).size).toBe(published.length);
  expect(published.filter((name) => !log.some((event) => event.cursor === name))).toEqual([]);
  for (const { name, handled } of tablets.slice(0, -1)) {
    expect([...handled.keys()].sort(), name).toEqual(names);
    expect([...handled].filter(([, times]) => times !== 1), name).toEqual([]);
  }

  // Each mutation ended once, as the hub says. A page that is gone before it wrote an end down hears of it again; one that is
  // gone when it has just written down what it took back, or gave up for what others did, hears of it no more.
  for (const { name, ended, asked, doubtful } of tablets) {
    if (name !== tablets.at(-1)!.name) expect(ended.size, name).toBe(asked.size);
    expect([...asked].filter((id) => !ended.has(id) && !doubtful.has(id)), name).toEqual([]);
    const results = await statuses(hub, name, [...ended.keys()]);
    for (const [id, [ending, ...more]] of ended) {
      expect(more, `${id} of ${name}`).toEqual(name === tablets.at(-1)!.name ? more.map(() => ending) : []);
      const result = results.get(id)!;
      if (ending!.status === "committed") expect(result, `${id} of ${name}`).toMatchObject({ status: "committed", version: ending!.version });
      else expect(result.status, `${id} of ${name}`).not.toBe("committed");
    }
  }
  const commits = log.flatMap(({ change }) => change?.mutation ?? []);
  expect(new Set(commits).size).toBe(commits.length);
  expect(commits.filter((id) => !tablets.some(({ ended }) => ended.has(id)))).toEqual([]);

  // All screens show what the hub has.
  const { entities } = await ask<{ entities: Entity[] }>("/v1/entities?match=orders/*");
  for (const tablet of tablets) {
    const shown = tablet.entities.collection("orders/*").get();
    expect(shown.map(({ topic, version, data }) => ({ topic, version, data })), tablet.name).toEqual(
      entities.map(({ topic, version, data }) => ({ topic, version, data })),
    );
    expect(shown.flatMap(({ pending }) => pending)).toEqual([]);
  }

  // What is critical was confirmed by all.
  interface Receipts {
    readonly ack: { readonly by: string };
    readonly settlement?: string;
    readonly receipts: readonly { readonly device: string; readonly confirmed?: string }[];
  }
  expect(critical.length).toBeGreaterThan(10);
  for (const id of critical) {
    let told: Receipts;
    do told = await ask<Receipts>(`/v1/events/${id}/receipts`);
    while (told.settlement === undefined || (told.ack.by === "device" && told.receipts.some(({ confirmed }) => !confirmed)));
    expect(told.settlement, id).toBe("acknowledged");
    if (told.ack.by === "device") expect(told.receipts.map(({ device }) => device).sort(), id).toEqual(tablets.map(({ name }) => name).sort());
  }

  expect(tablets.flatMap(({ errors }) => errors)).toEqual([]);
  expectSpaced(await proxy.log());
}, 120_000);

/** All events of the log behind a cursor, as a client without any fault hears them. */
async function replay(hub: Hub, after: string): Promise<Parameters<typeof nameOf>[0][]> {
  const log: Parameters<typeof nameOf>[0][] = [];
  const client = clientOf(hub, { topics: ["orders/*", "calls/*"], after });
  client.subscribe("*", (event) => log.push(event));
  await until(() => client.continuity.get() === "ok");
  client.close();
  return log;
}

interface Result {
  readonly id: string;
  readonly status: string;
  readonly version?: number;
}

async function statuses(hub: Hub, sub: string, ids: readonly string[]): Promise<Map<string, Result>> {
  const client = createClient({ url: hub.url, token: hub.token({ sub, roles: ["everything"] }) });
  const { results } = (await client.call({ method: "POST", path: "/v1/mutations/status", body: { ids } })) as { results: Result[] };
  return new Map(results.map((result) => [result.id, result]));
}
