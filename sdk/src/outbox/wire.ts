// The words of docs/protocol.md §6 that an author needs.
import type { JsonObject } from "../store/json.ts";

/** What a mutation does. */
export type Op = "put" | "patch" | "delete";

/** What must not have happened since base: nothing is asked, the entity changed, or one of the mutation's fields did. */
export type Guard = "none" | "version" | "fields";

/** One change of one entity, as POST /v1/mutations takes it. */
export interface Mutation {
  readonly id: string;
  readonly op: Op;
  readonly topic: string;
  readonly data?: JsonObject | undefined;
  readonly patch?: JsonObject | undefined;
  readonly guard: Guard;
  readonly base?: number | undefined;
  readonly device?: string | undefined;
  readonly seq?: number;
  readonly type?: string;
  readonly correlation?: string;
}

/** An entity as the hub tells it; data is null when it was deleted. */
export interface Entity {
  readonly topic: string;
  readonly version: number;
  readonly data: JsonObject | null;
}

/** Why something was refused: the members of RFC 9457 that a program looks at (docs/protocol.md §8). */
export interface Problem {
  readonly code: string;
  readonly detail?: string;
  readonly member?: string;
  /** Of a version-conflict: the entity as it is, unless the author may not read it. */
  readonly current?: Entity;
  /** Of a version-conflict: the fields that clash. */
  readonly fields?: readonly string[];
}

/** What became of a mutation, as POST /v1/mutations/status tells it. */
export interface Result {
  readonly id: string;
  readonly status: "committed" | "refused" | "cancelled" | "unknown";
  readonly version?: number | undefined;
  readonly problem?: Problem | undefined;
}

/** Why a call was not decided; with anything else that a call throws it counts as unreachable. */
export interface Failure {
  /** No answer at all, an answer that asks to come again (429, 5xx), or one that asks for a fresh token (401). */
  readonly failure: "unreachable" | "busy" | "unauthenticated";
  /** How long the hub asks to wait, in milliseconds. */
  readonly retryAfter?: number;
}

/**
 * How mutations reach the hub. A call resolves with what the hub decided, refusals too, and rejects with a Failure when it is
 * not known whether it decided anything: the outbox then repeats it under the same id.
 */
export interface Transport {
  /** POST /v1/mutations: all or none; of a refused call only the refused mutation has a result. */
  send(mutations: readonly Mutation[]): Promise<readonly Result[]>;
  /** POST /v1/mutations/status. */
  status(ids: readonly string[]): Promise<readonly Result[]>;
  /** DELETE /v1/mutations/{id}: undefined when the caller may write nothing, and so may cancel nothing. */
  cancel(id: string): Promise<Result | undefined>;
  /** GET /v1/entities/{topic}: undefined when nothing lives there. */
  fetch(topic: string): Promise<Entity | undefined>;
  /** GET /v1/entities?match=: all that live there. */
  list(pattern: string): Promise<readonly Entity[]>;
}
