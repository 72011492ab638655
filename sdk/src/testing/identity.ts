// Who asks: tokens, tickets, the cookie and what a policy grants (docs/protocol.md §2).
import type { Clock } from "../core/clock.ts";
import type { RoxyProblem } from "../core/problem.ts";
import { toBase64url } from "./bytes.ts";
import { contains, nameFault, pathFault } from "./grammar.ts";
import { refusal } from "./problem.ts";

/** What somebody may do, by patterns of topics; admin is the right to see receipts and forget devices of others. */
export interface Grant {
  readonly read?: readonly string[];
  readonly publish?: readonly string[];
  readonly write?: readonly string[];
  readonly admin?: boolean;
}

/** Who may do what, as in the hub's configuration: `policy.roles`. */
export interface Policy {
  readonly roles: Readonly<Record<string, Grant>>;
}

/** Who a token is for. */
export interface Claims {
  readonly sub: string;
  readonly roles?: readonly string[];
  /** In seconds from now; an hour when left out. Negative for a token that has expired already. */
  readonly expires?: number;
  /** What the token itself grants, beside its roles: the claim `roxy`. */
  readonly roxy?: Grant;
}

export interface Identity {
  readonly user: string;
  readonly roles: readonly string[];
  readonly grant: Required<Grant>;
  /** In milliseconds since 1970. */
  readonly expires: number;
  readonly token: string;
}

/** What of a request tells who sends it. */
export interface Credentials {
  readonly authorization: string | undefined;
  readonly query: readonly (readonly [string, string])[];
  /** Whether the browser would send the cookie. */
  readonly cookie: boolean;
}

export interface Identities {
  token(claims: Claims): string;
  /** Returns who asks, and spends their ticket. Throws unauthenticated, token-expired, token-in-url. */
  authenticate(given: Credentials): Identity;
  /** Returns a ticket for one request of whoever asks. */
  ticket(identity: Identity): { ticket: string; expires: number };
  /** A token is refused as expired from now on. Throws for one that is not this hub's. */
  expire(token: string): void;
  /** The cookie of all who send one; undefined for nobody's. */
  signIn(token: string | undefined): void;
  /** Forgets tickets, as a restart does. */
  forget(): void;
}

/** How long after its end a token is still taken: clocks differ. Streams end on time. */
const LEEWAY = 5_000;
const TICKET = 30_000;
const MEMBERS = ["read", "publish", "write", "admin"];

/** Everybody may do everything that is not the hub's own, and hear that, too. */
const EVERYTHING: Grant = { read: ["**", "roxy/**"], publish: ["**"], write: ["**"] };

/** wall tells the hub's time in milliseconds since 1970. Without a policy everybody may do everything. */
export function createIdentities(clock: Clock, wall: () => number, policy: Policy | undefined): Identities {
  checkPolicy(policy);
  const tokens = new Map<string, Identity>();
  const expired = new Set<string>();
  const tickets = new Map<string, { identity: Identity; until: number }>();
  let cookie: string | undefined;
  let made = 0;

  const unauthenticated = (detail: string, member?: string): RoxyProblem => refusal("unauthenticated", detail, member ? { member } : {});

  const good = (identity: Identity): Identity => {
    if (expired.has(identity.token) || wall() >= identity.expires + LEEWAY) {
      throw refusal("token-expired", `the token expired at ${new Date(identity.expires).toISOString()}`, { member: "exp" });
    }
    return identity;
  };

  const verify = (token: string): Identity => {
    const identity = tokens.get(token);
    if (!identity) throw unauthenticated("the token is none of hub.token(…): the test hub takes no others");
    return good(identity);
  };

  return {
    token({ sub, roles = [], expires = 3_600, roxy, ...others }) {
      const unknown = Object.keys(others)[0];
      if (unknown !== undefined) throw new Error(`hub.token: ${unknown}: unknown member; there are sub, roles, expires and roxy`);
      checkNames("hub.token: sub", [sub]);
      checkNames("hub.token: roles", roles);
      if (roxy) checkGrant("hub.token: roxy", roxy);
      const grants = policy ? roles.flatMap((role) => (Object.hasOwn(policy.roles, role) ? [policy.roles[role]!] : [])) : [EVERYTHING];
      const all = [...grants, ...(roxy ? [roxy] : [])];
      const join = (what: "read" | "publish" | "write"): string[] => all.flatMap((grant) => grant[what] ?? []);
      const end = Math.floor(wall() / 1_000) + expires;
      const part = (value: unknown): string => toBase64url(JSON.stringify(value));
      const token = `${part({ alg: "none", typ: "JWT" })}.${part({ sub, roles, exp: end, jti: String(++made), ...(roxy && { roxy }) })}.test`;
      const grant = { read: join("read"), publish: join("publish"), write: join("write"), admin: all.some(({ admin }) => admin === true) };
      tokens.set(token, { user: sub, roles: [...new Set(roles)].sort(), grant, expires: end * 1_000, token });
      return token;
    },
    authenticate({ authorization, query, cookie: sends }) {
      for (const [name, value] of query) {
        const named = ["access_token", "id_token", "token", "jwt", "authorization", "bearer"].includes(name.toLowerCase());
        if (named || tokens.has(value)) {
          throw refusal("token-in-url", "a token stands in the query, where logs and histories keep it: withdraw it, and use a ticket", { member: name });
        }
      }
      if (authorization !== undefined) {
        const [, token] = /^bearer +(\S+) *$/i.exec(authorization) ?? [];
        if (token === undefined) throw unauthenticated("Authorization is not of the form Bearer TOKEN", "Authorization");
        return verify(token);
      }
      if (sends && cookie !== undefined) return verify(cookie);
      const given = query.filter(([name]) => name === "ticket");
      if (given.length === 0) throw unauthenticated("no token: send Authorization: Bearer TOKEN, the cookie roxy_token, or a ticket", "Authorization");
      if (given.length > 1) throw unauthenticated(`ticket was given ${given.length} times`, "ticket");
      const text = given[0]![1];
      const found = tickets.get(text);
      tickets.delete(text);
      if (!found || clock.now() >= found.until) throw unauthenticated("the ticket was used before, is older than 30s, or never was one of this hub", "ticket");
      return good(found.identity);
    },
    ticket(identity) {
      const ticket = `ticket-${++made}`;
      tickets.set(ticket, { identity, until: clock.now() + TICKET });
      return { ticket, expires: Math.min(wall() + TICKET, identity.expires + LEEWAY) };
    },
    expire(token) {
      if (!tokens.has(token)) throw new Error("faults.expire: the token is none of hub.token(…)");
      expired.add(token);
    },
    signIn(token) {
      if (token !== undefined && !tokens.has(token)) throw new Error("hub.signIn: the token is none of hub.token(…)");
      cookie = token;
    },
    forget: () => tickets.clear(),
  };
}

export function mayRead({ grant }: Identity, pattern: string): boolean {
  return grant.read.some((granted) => contains(granted, pattern));
}

export function mayPublish({ grant }: Identity, topic: string): boolean {
  return grant.publish.some((granted) => contains(granted, topic));
}

export function mayWrite({ grant }: Identity, topic: string): boolean {
  return grant.write.some((granted) => contains(granted, topic));
}

function checkPolicy(policy: Policy | undefined): void {
  for (const member of Object.keys(policy ?? { roles: 0 })) {
    if (member === "fields") throw new Error("createTestHub: policy.fields: the test hub has no views: test what roles see against the real hub");
    if (member !== "roles") throw new Error(`createTestHub: policy.${member}: unknown member; there is roles`);
  }
  for (const [role, grant] of Object.entries(policy?.roles ?? {})) {
    checkNames("createTestHub: policy.roles", [role]);
    checkGrant(`createTestHub: policy.roles.${role}`, grant);
  }
}

function checkGrant(where: string, grant: Grant): void {
  for (const [member, patterns] of Object.entries(grant)) {
    if (!MEMBERS.includes(member)) throw new Error(`${where}.${member}: unknown member; there are ${MEMBERS.join(", ")}`);
    if (member === "admin") continue;
    for (const [i, pattern] of (patterns as readonly string[]).entries()) {
      const why = pathFault(pattern, true);
      if (why !== undefined) throw new Error(`${where}.${member}[${i}]: ${why}`);
    }
  }
}

function checkNames(where: string, names: readonly string[]): void {
  for (const name of names) {
    const why = nameFault(name);
    if (why !== undefined) throw new Error(`${where}: ${JSON.stringify(name)}: ${why}`);
  }
}
