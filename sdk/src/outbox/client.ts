// The hub's calls for mutations (docs/protocol.md §6), made with a client's identity.
import type { Client } from "../core/client.ts";
import { RoxyProblem } from "../core/problem.ts";
import type { Entity, Failure, Problem, Result, Transport } from "./wire.ts";

/** The transport over a client: its URL, its token, its cookies. The outbox repeats calls itself, under the same ids. */
export function transportOver(client: Pick<Client, "call">): Transport {
  const call = async <T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T | RoxyProblem> => {
    try {
      return (await client.call({ method, path, ...(body !== undefined && { body }) }, { once: true })) as T;
    } catch (error) {
      if (error instanceof RoxyProblem && decided(error)) return error;
      throw failureOf(error);
    }
  };
  return {
    async send(mutations) {
      const body = mutations.length === 1 ? mutations[0] : mutations;
      const answer = await call<{ results: { id: string; version: number }[] }>("POST", "/v1/mutations", body);
      if (!(answer instanceof RoxyProblem)) return answer.results.map(({ id, version }) => ({ id, version, status: "committed" }));
      const at = Number(/^\[(\d+)\]/.exec(String(answer.members["member"]))?.[1] ?? 0);
      return [{ id: mutations[at]?.id ?? "", status: "refused", problem: problemIn(answer) }];
    },
    async status(ids) {
      const answer = await call<{ results: Result[] }>("POST", "/v1/mutations/status", { ids });
      if (answer instanceof RoxyProblem) throw answer;
      return answer.results;
    },
    async cancel(id) {
      const answer = await call<Result>("DELETE", `/v1/mutations/${encodeURIComponent(id)}`);
      if (!(answer instanceof RoxyProblem)) return answer;
      if (answer.code === "forbidden") return undefined;
      throw answer;
    },
    async fetch(topic) {
      const answer = await call<Entity>("GET", `/v1/entities/${topic.split("/").map(encodeURIComponent).join("/")}`);
      if (!(answer instanceof RoxyProblem)) return { topic, version: answer.version, data: answer.data };
      if (answer.code === "not-found") return undefined;
      throw answer;
    },
    async list(pattern) {
      const all: Entity[] = [];
      let page: string | undefined;
      do {
        const query = `match=${encodeURIComponent(pattern)}&limit=1000${page ? `&page=${encodeURIComponent(page)}` : ""}`;
        const answer = await call<{ entities: readonly Entity[]; page?: string }>("GET", `/v1/entities?${query}`);
        if (answer instanceof RoxyProblem) throw answer;
        all.push(...answer.entities);
        page = answer.page;
      } while (page);
      return all;
    },
  };
}

/** Whether the hub itself has refused for good: a proxy's page has no code of the hub's. */
function decided({ status, code, passing }: RoxyProblem): boolean {
  return !passing && status !== 401 && !code.startsWith("http-");
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof RoxyProblem) || error.status === 0) return { failure: "unreachable" };
  return { failure: error.status === 401 ? "unauthenticated" : "busy", retryAfter: error.retryAfter };
}

function problemIn({ code, members }: RoxyProblem): Problem {
  return { ...members, code };
}
