import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createTestHub, type Policy, type TestHubOptions } from "../../src/testing.ts";
import { launchHub } from "../hub.ts";
import { devices } from "./devices.ts";
import { entities, mutations } from "./entities.ts";
import { talkTo, type Case, type Place } from "./place.ts";
import { presence } from "./presence.ts";
import { publishing } from "./publishing.ts";
import { requests } from "./requests.ts";
import { streams } from "./streams.ts";

let hub: Awaited<ReturnType<typeof launchHub>>;
let tenants = 0;

beforeAll(async () => {
  hub = await launchHub(`presence: { grace: ${GRACE} }\nlimits: { publish: { rate: 100000, burst: 100000 } }`);
});
afterAll(() => hub.remove());

const GRACE = "1s";

/** The roles of test/hub.ts. */
const POLICY: Policy = {
  roles: {
    everything: { read: ["**"], publish: ["**"], write: ["**"], admin: true },
    waiter: { read: ["orders/**", "tables/**"], publish: ["orders/*", "tables/*"] },
    kitchen: { read: ["orders/**"], publish: ["orders/*"] },
  },
};

/** The real hub, where each case has a tenant, and so a log, of its own. */
function realPlace(): Place {
  const tenant = `case-${++tenants}`;
  return {
    url: hub.url,
    fetch: (url, init) => fetch(url, init),
    token: ({ roxy, ...claims }) => hub.token({ ...claims, more: { tenant, ...(roxy && { roxy }) } }),
    async restart() {
      await hub.kill();
      await hub.start();
    },
  };
}

function testPlace(options: TestHubOptions = {}): Place {
  const inMemory = createTestHub({ policy: POLICY, presence: { grace: GRACE }, ...options });
  onTestFinished(() => inMemory.close());
  return { url: inMemory.url, fetch: inMemory.fetch, token: (who) => inMemory.token(who), restart: async () => inMemory.faults.restart() };
}

const subjects: Readonly<Record<string, readonly Case[]>> = { publishing, streams, entities, mutations, devices, presence, requests };

describe.each(Object.entries(subjects))("%s", (_, cases) => {
  test.each(cases.map((one) => [one.name, one] as const))("%s", async (_, { run }) => {
    const [real, tested] = [talkTo(realPlace()), talkTo(testPlace())];
    await Promise.all([run(real.talk), run(tested.talk)]);
    expect(tested.transcript).toEqual(real.transcript);
  });
});

test("a hub that does otherwise is noticed", async () => {
  const said = async (options?: TestHubOptions): Promise<unknown[]> => {
    const { talk, transcript } = talkTo(testPlace(options));
    await streams[0]!.run(talk);
    return transcript;
  };
  expect(await said()).toEqual(await said());
  const { everything, ...others } = POLICY.roles;
  expect(await said({ policy: { roles: { ...others, everything: { ...everything!, publish: ["**"], read: ["orders/**", "tables/**"] } } } })).toEqual(await said());
  await expect(said({ maxEventBytes: 10 })).rejects.toThrow();
});
