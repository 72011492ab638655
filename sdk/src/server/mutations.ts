import type { EntityAt, PatchOf, TopicOf } from "../entities.ts";

/** What must not have happened to an entity since its version `base` (docs/protocol.md §6). */
export type Guarded =
  | { readonly guard?: "none"; readonly base?: never }
  /** `version`: anything; base 0 is no entity. `fields`: a change of the same fields. */
  | { readonly guard: "version" | "fields"; readonly base: number };

interface Common {
  /** The idempotency key; one is made when it is left out. */
  readonly id?: string;
  /** The type of the event that tells of it; `entity:created`, `entity:updated` or `entity:deleted` when left out. */
  readonly type?: string;
  readonly correlation?: string;
}

/** A change of an entity: put creates or replaces it, patch merges (RFC 7396, null removes). E is the RoxyEntities of `roxy generate typescript`. */
export type MutationOf<E extends object> = {
  [Pattern in keyof E & string]: Common &
    Guarded &
    (
      | { readonly op: "put"; readonly topic: TopicOf<Pattern>; readonly data: EntityAt<E, TopicOf<Pattern>> }
      | { readonly op: "patch"; readonly topic: TopicOf<Pattern>; readonly patch: PatchOf<EntityAt<E, TopicOf<Pattern>>> }
      | { readonly op: "delete"; readonly topic: TopicOf<Pattern> }
    );
}[keyof E & string];

/** What a change has made of an entity. */
export interface Mutated {
  readonly id: string;
  readonly topic: string;
  readonly version: number;
  /** Of the event that tells of it. */
  readonly cursor: string;
  /** It had been made already, by an earlier attempt or call. */
  readonly duplicate?: boolean;
}
