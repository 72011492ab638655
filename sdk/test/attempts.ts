import { expect } from "vitest";
import type { Asked } from "./proxy.ts";

/**
 * When each client began its attempts, by its own clock: an attempt is the request of a stream, or that of the ticket for it.
 * A ticket that is asked for again after a 401, with a fresh token, belongs to the same attempt.
 */
export function attempts(log: readonly Asked[]): Map<string, number[]> {
  const all = new Map<string, number[]>();
  const last = new Map<string, Asked>(); // ticket that no stream came with yet
  for (const asked of log) {
    const { client = "", method, path, begun } = asked;
    const ticket = method === "POST" && path === "/v1/tickets";
    if (!ticket && !(method === "GET" && (path === "/v1/stream" || path === "/v1/ws"))) continue;
    const before = last.get(client);
    if (ticket) last.set(client, asked);
    else last.delete(client);
    if (before && (!ticket || before.status === 401)) continue;
    expect(begun, `${method} ${path} of ${client} says when it was begun`).toBeDefined();
    all.set(client, [...(all.get(client) ?? []), Number(begun)]);
  }
  for (const times of all.values()) times.sort((a, b) => a - b);
  return all;
}

/** The law of attempts: no two of a client are less than a second apart, and no minute has more than twenty. */
export function expectSpaced(log: readonly Asked[]): void {
  const all = attempts(log);
  expect(all.size).toBeGreaterThan(0);
  for (const [client, times] of all) {
    for (let i = 1; i < times.length; i++) {
      expect(times[i]! - times[i - 1]!, `attempts ${i} and ${i + 1} of ${client}`).toBeGreaterThanOrEqual(900); // a garbage collection may come between the decision and the request
      if (i >= 20) expect(times[i]! - times[i - 20]!, `21 attempts of ${client}`).toBeGreaterThanOrEqual(59_900);
    }
  }
}
