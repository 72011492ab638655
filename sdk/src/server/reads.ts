import type { EntityAt } from "../entities.ts";
import type { DeadLetter } from "./webhook.ts";
import { callHub, type CallOptions, type Hub } from "./calls.ts";

/** An entity as it is for the publisher's user. */
export interface Found<Data> {
  readonly topic: string;
  readonly version: number;
  readonly time: string;
  readonly data: Data;
}

/** The entities that match a pattern. */
export type FoundAt<E extends object, Pattern extends string> = Pattern extends string ? Found<EntityAt<E, Pattern>> : never;

/** What a page is rendered with: the `initial` of useEnhancedSSE. */
export interface Snapshot<Data> {
  readonly data: Data;
  /** Where the page's stream goes on. What it brings may be in data already: a change whose version data has is to be left out. */
  readonly cursor: string;
}

/** Who is present (docs/protocol.md §9). */
export interface Presence {
  readonly users: readonly {
    readonly user: string;
    readonly devices: readonly { readonly device?: string; readonly since: string; readonly connected: boolean; readonly transport?: "sse" | "ws" }[];
  }[];
  /** Until then, those who were there before the hub's start may be on their way. */
  readonly settles?: string;
}

/** Who has a critical event, and who has confirmed it (docs/protocol.md §7). Times are absent until it happened. */
export interface Receipts {
  readonly event: string;
  readonly topic: string;
  readonly type: string;
  readonly by: string;
  readonly correlation?: string;
  readonly time: string;
  readonly ack: DeadLetter["ack"];
  readonly attempt: number;
  readonly due?: string;
  readonly settlement?: "acknowledged" | "unacked";
  readonly reason?: DeadLetter["reason"];
  readonly settled?: string;
  readonly users?: readonly string[];
  readonly receipts: readonly {
    readonly device: string;
    readonly user: string;
    readonly written?: string;
    readonly delivered?: string;
    readonly confirmed?: string;
    readonly late?: string;
    readonly attempts: number;
    readonly transport?: "sse" | "ws";
  }[];
}

/** Returns all pages of a list; the first one tells what is told of the whole. */
export async function pages<Page extends { readonly page?: string }>(
  hub: Hub,
  path: string,
  query: Readonly<Record<string, string>>,
  options: CallOptions | undefined,
): Promise<[Page, ...Page[]]> {
  const ask = async (more: Readonly<Record<string, string>>): Promise<Page> =>
    (await callHub(hub, { method: "GET", path: `${path}?${new URLSearchParams({ ...query, limit: "1000", ...more })}` }, options)) as Page;
  const all: [Page, ...Page[]] = [await ask({})];
  for (let page = all[0].page; page !== undefined; page = all.at(-1)!.page) all.push(await ask({ page }));
  return all;
}
