/** What became of an entity by one commit. Who is at `base` applies `patch`; who is at `version` or beyond leaves it out. */
export interface Change {
  readonly op: "put" | "patch" | "delete";
  readonly version: number;
  readonly base: number;
  readonly patch?: Readonly<Record<string, unknown>> | undefined;
  /** The id of the mutation. */
  readonly mutation?: string | undefined;
}

/** An event, published or of an entity's commit (docs/protocol.md §4, §6). */
export interface RoxyEvent<Type extends string = string, Data = unknown> {
  readonly kind: "event";
  readonly type: Type;
  readonly topic: string;
  /** What was published; undefined for an entity's commit, which has a change. */
  readonly data: Data;
  readonly time: string;
  readonly by?: string;
  readonly correlation?: string;
  readonly traceparent?: string;
  /** Its place in the log. Ephemeral events, and critical ones that come again, have none. */
  readonly cursor?: string | undefined;
  /** A critical event. `id` is what confirms it. */
  readonly ack?: { readonly id: string; readonly by: "any" | "user" | "device" };
  readonly attempt?: number;
  readonly change?: Change | undefined;
  /** It came behind `roxy:live`, as it happened. */
  readonly live: boolean;
}

/** An entity of a snapshot. */
export interface EntityMessage {
  readonly kind: "entity";
  readonly topic: string;
  readonly version: number;
  readonly time: string;
  readonly data: unknown;
}

/** What was missed cannot be replayed: fetch anew. `view`: the roles see more or less of entities than before. */
export interface ResetMessage {
  readonly kind: "reset";
  readonly reason: "epoch" | "retention" | "overflow" | "view";
  /** Behind this the stream goes on; absent when a snapshot follows. */
  readonly cursor?: string | undefined;
}

/** A snapshot begins: what it does not hold is no more. */
export interface SnapshotMessage {
  readonly kind: "snapshot";
}

/** Caught up. */
export interface LiveMessage {
  readonly kind: "live";
  readonly cursor?: string | undefined;
  readonly replayed: number;
  readonly entities?: number | undefined;
}

/** What became of a mutation of this device. */
export interface ReceiptMessage {
  readonly kind: "receipt";
  readonly id: string;
  readonly status: "committed" | "refused" | "cancelled" | "unknown";
  readonly topic?: string;
  readonly version?: number;
  readonly cursor?: string | undefined;
  readonly problem?: Readonly<Record<string, unknown>>;
}

/** What becomes of a critical event that the stream's user published. */
export interface AckMessage {
  readonly kind: "ack";
  readonly id: string;
  readonly correlation?: string;
  readonly status?: "delivered" | "confirmed" | "late";
  readonly device?: string;
  readonly user?: string;
  readonly settled?: "acknowledged" | "unacked";
  readonly reason?: string;
  readonly time: string;
}

/** One of the two forms of roxy:presence (docs/protocol.md §9). */
export interface PresenceMessage {
  readonly kind: "presence";
  readonly present?: readonly Present[];
  readonly part?: number;
  readonly parts?: number;
  readonly settles?: string;
  readonly joined?: readonly Present[];
  readonly left?: readonly Present[];
}

export interface Present {
  readonly user: string;
  readonly device?: string;
  readonly since?: string;
  readonly until?: string;
  readonly others?: number;
}

/** All that a stream tells, in its order. */
export type Message = RoxyEvent | EntityMessage | ResetMessage | SnapshotMessage | LiveMessage | ReceiptMessage | AckMessage | PresenceMessage;
