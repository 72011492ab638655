// One signed-in person's way to the hub: the client, the entities, and what of both outlives a page.
import { createClient, type Client, type TokenSource } from "@roxy/sdk";
import { createEntities, type Entities } from "@roxy/sdk/entities";
import { createBell, type Bell } from "./bell.ts";
import { type Access, Refused, renew, type Role } from "./backend.ts";
import { createAlarms, NO_ALARMS, type Alarms } from "./alarms.ts";
import { createHouse, type House } from "./house.ts";
import { createNetwork, type Network } from "./network.ts";
import { createRounds, type Rounds } from "./rounds.ts";
import type { RoxyEntities, RoxyEvents } from "./roxy.gen.ts";
import { createSeen, type Seen } from "./seen.ts";
import { browserName, takeSlot } from "./slot.ts";

/** What each role follows. The hub refuses what its policy does not grant, whatever stands here. */
const TOPICS: Readonly<Record<Role, readonly string[]>> = {
  waiter: ["orders/*", "lines/*", "tables/*", "calls/*", "products/*", "receipts/*"],
  kitchen: ["orders/*", "lines/*", "products/*"],
  counter: ["orders/*", "lines/*", "products/*"],
  till: ["orders/*", "lines/*", "tables/*", "payments/*", "receipts/*", "products/*"],
  manager: ["orders/*", "lines/*", "tables/*", "calls/*", "products/*", "payments/*", "receipts/*", "shifts/*", "roxy/presence"],
};

/** All that the screens of one signed-in person work with. */
export interface Hub {
  readonly access: Access;
  readonly device: string;
  readonly network: Network;
  readonly client: Client<RoxyEvents>;
  readonly entities: Entities<RoxyEntities>;
  readonly house: House;
  readonly rounds: Rounds;
  readonly bell: Bell;
  readonly alarms: Alarms;
  readonly seen: Seen;
  close(): void;
}

/** Who hears what the bar's server says of a session: a new token, or that the session is over. */
export interface Told {
  renewed(access: Access): void;
  signedOut(why: string): void;
}

/** Connects as the person of access. There need not be a network: what is known is shown, and the rest comes with it. */
export async function openHub(access: Access, { renewed, signedOut }: Told): Promise<Hub> {
  const network = createNetwork();
  const slot = await takeSlot(`bar:${access.user}:${access.role}`);
  // Names of devices belong to one user: another browser of the same person is another device.
  const device = `${access.user}-${access.role}-${browserName()}-${slot}`;
  let current = access;

  const token: TokenSource = async ({ fresh }) => {
    if (fresh || Date.parse(current.expires) < Date.now() + 10_000) {
      try {
        current = await renew(network.platform, current.session);
        renewed(current);
      } catch (error) {
        if (error instanceof Refused && error.status === 401) signedOut(error.message);
        throw error;
      }
    }
    return current.token;
  };
  const client = createClient<RoxyEvents>({
    url: access.hub,
    platform: network.platform,
    topics: TOPICS[access.role],
    snapshot: true,
    device,
    confirm: false, // somebody presses a button: that a screen has shown it is no confirmation
    heartbeat: "5s",
    token,
  });
  const entities = createEntities<RoxyEntities>(client, {
    database: `bar ${device}`,
    // Who opens a table that somebody else has just opened has nothing to insist on; all else is for the person to say.
    conflict: ({ mutation }) => (mutation.topic.startsWith("tables/") ? "theirs" : "ask"),
  });
  const rounds = createRounds(client, entities, localStorage, `bar rounds ${device}`);
  const house = createHouse(entities, rounds, access.user);
  const bell = createBell(client);
  const alarms = access.role === "manager" ? createAlarms({ url: access.hub, platform: network.platform, token }, localStorage, `bar alarms ${access.user}`) : NO_ALARMS;
  const seen = createSeen(client, localStorage, `bar seen ${device}`);
  client.connect();
  return {
    access,
    device,
    network,
    client,
    entities,
    house,
    rounds,
    bell,
    alarms,
    seen,
    close() {
      seen.close();
      rounds.close();
      bell.close();
      alarms.close();
      entities.close();
      client.close();
    },
  };
}
