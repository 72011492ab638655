import type { Publication } from "../core/client.ts";

/** How much an event matters: `high` never waits for others, and `critical` is `high` and must be confirmed. */
export type Priority = "low" | "normal" | "high" | "critical";

/**
 * The options of hand-rolled SSE broadcasters, in their words. What they meant to do, the hub does: the audience is enforced by what
 * tokens say, and an acknowledgement is kept and repeated until it is there (docs/protocol.md §3, §7).
 */
export interface EmitOptions {
  /** Where the event goes, such as `orders/7`. Left out where the publisher's `topics` has the type. */
  readonly topic?: string;
  /** Only for these roles. */
  readonly targetRoles?: readonly string[];
  /** The same as targetRoles. */
  readonly roles?: readonly string[];
  /** Only for these users; with roles, for either. */
  readonly targetUsers?: readonly string[];
  /** Milliseconds after which it is not delivered any more. */
  readonly ttl?: number;
  /** Default `normal`. */
  readonly priority?: Priority;
  /** The same as priority `critical`. */
  readonly critical?: boolean;
  /** It must be confirmed: by each user when it is for targetUsers alone, or else on any one device that it is for. */
  readonly requiresAck?: boolean;
  /** The same as requiresAck. */
  readonly requireAck?: boolean;
  /** Groups related events. */
  readonly correlationId?: string;
}

/** Options that are no event's, with what to use instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  entity: "an entity is changed by mutate, and every change is an event",
  version: "versions are the hub's: guard a change by mutate({ guard, base })",
  delta: "changed fields alone travel by mutate({ op: \"patch\", patch })",
};

const OPTIONS: ReadonlySet<string> = new Set<keyof EmitOptions>([
  "topic",
  "targetRoles",
  "roles",
  "targetUsers",
  "ttl",
  "priority",
  "critical",
  "requiresAck",
  "requireAck",
  "correlationId",
]);

const PRIORITIES: readonly Priority[] = ["low", "normal", "high", "critical"];

/**
 * Returns the publication that emit(type, data, options) means on a topic; whether that is options.topic is the caller's to say. An
 * option that is unknown, is not what it should be, or contradicts another throws a TypeError that names it.
 */
export function publicationOf(type: string, topic: string | undefined, data: unknown, options: EmitOptions): Publication {
  const fail = (member: string, reason: string): never => {
    throw new TypeError(`emit ${JSON.stringify(type)}: ${member}: ${reason}`);
  };
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !OPTIONS.has(name)) fail(name, ELSEWHERE[name] ?? `there is no such option: want ${[...OPTIONS].join(", ")}`);
  }
  /** Returns the value of an option that has two names. */
  const either = <Name extends keyof EmitOptions, Other extends keyof EmitOptions>(name: Name, other: Other): EmitOptions[Name] | EmitOptions[Other] => {
    if (options[name] !== undefined && options[other] !== undefined) fail(other, `it is the same as ${name}: say one of them`);
    return options[name] ?? options[other];
  };
  const names = (member: string, value: unknown): readonly string[] | undefined => {
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length === 0 || !value.every((name) => typeof name === "string" && name !== "")) {
      // An empty list would mean everyone to the hub, and meant nobody to whoever filtered by it.
      fail(member, `want names, at least one: ${JSON.stringify(value)}`);
    }
    return value as readonly string[];
  };
  const flag = (member: string, value: unknown): boolean | undefined =>
    value === undefined || typeof value === "boolean" ? value : fail(member, `want true or false, not ${JSON.stringify(value)}`);

  const roles = names(options.roles === undefined ? "targetRoles" : "roles", either("targetRoles", "roles"));
  const users = names("targetUsers", options.targetUsers);
  const { ttl, priority = "normal", correlationId } = options;
  if (ttl !== undefined && !(Number.isSafeInteger(ttl) && ttl > 0)) fail("ttl", `want whole milliseconds, more than 0: ${JSON.stringify(ttl)}`);
  if (!PRIORITIES.includes(priority)) fail("priority", `want one of ${PRIORITIES.join(", ")}: ${JSON.stringify(priority)}`);
  const critical = flag("critical", options.critical);
  if (critical === false && priority === "critical") fail("critical", "it contradicts the priority");
  const confirmed = flag(options.requireAck === undefined ? "requiresAck" : "requireAck", either("requiresAck", "requireAck"));
  const matters = critical === true || priority === "critical";
  if (matters && confirmed === false) fail(options.requireAck === undefined ? "requiresAck" : "requireAck", "what is critical must be confirmed");
  if (topic === undefined) fail("topic", `say where it goes, here or once for all in createPublisher({ topics: { ${JSON.stringify(type)}: … } })`);

  return {
    topic: topic!,
    type,
    data,
    ...((roles ?? users) && { to: { ...(roles && { roles }), ...(users && { users }) } }),
    ...(ttl !== undefined && { ttl: `${ttl}ms` }),
    ...((matters || confirmed) && { ack: { by: users && !roles ? "user" : "any" } as const }),
    ...((matters || priority === "high") && { urgent: true }),
    ...(correlationId !== undefined && { correlation: correlationId }),
  };
}
