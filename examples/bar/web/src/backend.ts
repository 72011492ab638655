// What the app asks of its own backend (examples/bar/serve): who works tonight, and a token for one of them.
import type { Platform } from "@roxy/sdk";

export type Role = "waiter" | "kitchen" | "counter" | "till" | "manager";

/** Somebody who may sign in. */
export interface Person {
  readonly user: string;
  readonly name: string;
  readonly roles: readonly Role[];
}

/** Who signed in, and what it opens. The role is what the page shows; what it may is in the token, which the hub verifies. */
export interface Access {
  readonly session: string;
  readonly token: string;
  readonly expires: string;
  readonly user: string;
  readonly role: Role;
  readonly hub: string;
  /** How the others are called. */
  readonly staff: readonly Person[];
}

/** A row of the hub's audit trail. */
export interface AuditRow {
  readonly seq: number;
  readonly time: string;
  readonly kind: string;
  readonly user?: string;
  readonly device?: string;
  readonly topic?: string;
  readonly type?: string;
  readonly reason?: string;
  readonly version?: number;
}

/** The backend refused, in its words; `status` 401: sign in again. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

/** There was no answer. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  constructor(cause: unknown) {
    super("There is no network, or the bar's server does not answer.", { cause });
  }
}

/** Longer than that, in ms, nobody waits: bad Wi-Fi holds calls for minutes. */
const PATIENCE = 10_000;

type Network = Pick<Platform, "fetch" | "abort">;

async function ask<Answer>(network: Network, method: "GET" | "POST", path: string, given: { body?: object; session?: string } = {}): Promise<Answer> {
  const abort = network.abort();
  const timer = setTimeout(() => abort.abort(), PATIENCE);
  const asked = network.fetch!(path, {
    method,
    headers: {
      ...(given.body && { "Content-Type": "application/json" }),
      ...(given.session !== undefined && { "Bar-Session": given.session }),
    },
    ...(given.body && { body: JSON.stringify(given.body) }),
    signal: abort.signal,
    credentials: "same-origin",
    cache: "no-store",
  });
  const [answer, text] = await asked
    .then(async (got) => [got, await got.text()] as const)
    .catch((error: unknown) => {
      throw new NoAnswer(error);
    })
    .finally(() => clearTimeout(timer));
  if (answer.status === 200) return JSON.parse(text) as Answer;
  let detail = `the bar's server answered ${answer.status}`;
  try {
    detail = (JSON.parse(text) as { detail?: string }).detail ?? detail;
  } catch {
    // a proxy's page has no detail
  }
  throw new Refused(answer.status, detail);
}

export const askStaff = (network: Network): Promise<{ staff: readonly Person[] }> => ask(network, "GET", "/api/staff");
export const signInAs = (network: Network, user: string, role: Role): Promise<Access> => ask(network, "POST", "/api/sessions", { body: { user, role } });
export const renew = (network: Network, session: string): Promise<Access> => ask(network, "POST", "/api/tokens", { body: { session } });
export const askAudit = (network: Network, session: string): Promise<{ rows: readonly AuditRow[] }> => ask(network, "GET", "/api/audit", { session });
