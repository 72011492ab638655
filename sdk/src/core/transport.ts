import type { Calls } from "./calls.ts";
import type { State } from "./connection.ts";
import type { Credentials, Platform } from "./platform.ts";
import type { RoxyProblem } from "./problem.ts";

/** One event of a stream as it came, its data read. */
export interface Block {
  readonly event: string;
  readonly id?: string | undefined;
  readonly data: unknown;
}

/** How a stream ended. */
export interface End {
  /**
   * A refusal, or what kept the stream from opening (status 0), or from being understood. With status 204 nobody is to come
   * back. Undefined for a stream that was open and is cut.
   */
  readonly problem?: RoxyProblem | undefined;
  /** Nothing is wrong: another stream is to take its place, for this reason. */
  readonly renew?: string;
  /** The hub's goodbye. */
  readonly bye?: { readonly reason?: string; readonly retry?: number };
}

/** What a stream tells its client, which closes the link when it has ended. What is told after that is not heard. */
export interface Sink {
  /** Something came: the answer, of which the hello is to follow, or if only a byte. */
  alive(): void;
  /** What came at once. */
  blocks(blocks: readonly Block[]): void;
  ended(end: End): void;
}

/** What is asked of the hub. */
export interface StreamRequest {
  readonly platform: Platform;
  /** The hub's, without a slash at the end. */
  readonly url: string;
  readonly topics: readonly string[];
  readonly types: readonly string[];
  readonly device?: string | undefined;
  readonly heartbeat?: string | undefined;
  readonly snapshot: boolean;
  /** The cursor to resume after, or `earliest`. */
  readonly after?: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: Credentials;
  /** Whether the caller has a token, which a URL must not hold. */
  readonly tokened: boolean;
  readonly call: Calls["call"];
  /** The event types that somebody listens to, for transports that must know them. */
  heard(): readonly string[];
}

/** An open, or opening, stream. */
export interface Link {
  close(): void;
  /** Hears a further event type. Absent where all are heard. */
  hear?(type: string): void;
}

/** A way to hold a stream. */
export interface Transport {
  readonly name: "sse" | "eventsource" | "ws";
  usable(platform: Platform): boolean;
  open(request: StreamRequest, sink: Sink): Link;
}

/** Lets clients hold one stream together; tabs of `@roxy/sdk/tabs`. */
export interface Share {
  /** Returns what a client uses in place of its transports. */
  over(transports: readonly Transport[]): readonly Transport[];
  /** Hears where the client stands. */
  state(state: State): void;
}

/** Returns the query of GET /v1/stream. */
export function streamQuery({ topics: topic, types: type, device, heartbeat, snapshot, after }: StreamRequest): string {
  return Object.entries({ topic, type, device, heartbeat, snapshot: snapshot ? 1 : [], after })
    .flatMap(([name, values = []]) => [values].flat().map((value) => `${name}=${encodeURIComponent(value)}`))
    .join("&");
}

/** Returns the parameter that stands for a token where no header can: a ticket, bought for it. Empty without a token. */
export async function ticketQuery({ tokened, call }: StreamRequest): Promise<string> {
  if (!tokened) return "";
  const { ticket } = (await call({ method: "POST", path: "/v1/tickets" }, true)) as { ticket: string };
  return `ticket=${encodeURIComponent(ticket)}`;
}
