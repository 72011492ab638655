// The hub's calls for mutations (docs/protocol.md §6), made with a client's identity.
import type { Client } from "../core/client.ts";
import { type RoxyProblem, unreachable } from "../core/problem.ts";
import type { Entity, Failure, Result, Transport } from "./wire.ts";

/** The transport over a client: its URL, its token, its cookies. The outbox repeats calls itself, under the same ids. */
export function transportOver(client: Pick<Client, "call">): Transport {
  /** Resolves with the answer, or with what refused makes of a refusal for good of the hub itself: a proxy's page has no code of the hub's. */
  const call = async <T>(method: "GET" | "POST" | "DELETE", path: string, refused: (problem: RoxyProblem) => unknown, body?: unknown): Promise<T> => {
    try {
      return (await client.call({ method, path: `/v1/${path}`, body }, { once: true })) as T;
    } catch (error) {
      const problem = unreachable(error);
      const { status, passing, code, retryAfter } = problem;
      if (!passing && status !== 401 && !code.startsWith("http-")) return refused(problem) as T;
      throw { failure: status === 0 ? "unreachable" : status === 401 ? "unauthenticated" : "busy", retryAfter } satisfies Failure;
    }
  };
  return {
    async send(mutations) {
      const { results } = await call<{ results: Result[] }>(
        "POST",
        "mutations",
        ({ code, members }) => {
          const at = Number(/^\[(\d+)\]/.exec(String(members["member"]))?.[1] ?? 0);
          return { results: [{ id: mutations[at]?.id, status: "refused", problem: { ...members, code } }] };
        },
        mutations.length === 1 ? mutations[0] : mutations,
      );
      return results.map((result) => ({ ...result, status: result.status ?? "committed" }));
    },
    status: async (ids) => (await call<{ results: Result[] }>("POST", "mutations/status", unless(), { ids })).results,
    cancel: (id) => call("DELETE", `mutations/${encodeURIComponent(id)}`, unless("forbidden")),
    fetch: (topic) => call("GET", `entities/${topic.split("/").map(encodeURIComponent).join("/")}`, unless("not-found")),
    async list(pattern) {
      const all: Entity[] = [];
      let next = "";
      do {
        const { entities, page = "" } = await call<{ entities: readonly Entity[]; page?: string }>(
          "GET",
          `entities?match=${encodeURIComponent(pattern)}&limit=1000${next && `&page=${encodeURIComponent(next)}`}`,
          unless(),
        );
        all.push(...entities);
        next = page;
      } while (next);
      return all;
    },
  };
}

/** What makes nothing of a refusal with this code, and throws any other. */
function unless(expected?: string): (problem: RoxyProblem) => void {
  return (problem) => {
    if (problem.code !== expected) throw problem;
  };
}
