// The parameters of a stream (docs/protocol.md §4).
import { invalidParameter, type Request } from "./exchange.ts";
import { deviceFault, nameFault, pathFault, readCursor, readDuration, type Position } from "./grammar.ts";
import { refusal } from "./problem.ts";
import type { Subscription } from "./streams.ts";

const KNOWN = ["topic", "type", "after", "snapshot", "device", "heartbeat", "ticket"];

/** Reads what a stream asks for. lastEventId wins over the parameter after. */
export function readSubscription(query: Request["query"], lastEventId: string | undefined): Omit<Subscription, "identity"> {
  const all = (name: string): string[] => query.filter(([key]) => key === name).map(([, value]) => value);
  const once = (name: string): string | undefined => {
    const [first, ...more] = all(name);
    if (more.length > 0) throw invalidParameter(name, `it is given ${more.length + 1} times`);
    return first;
  };
  for (const [name] of query) if (!KNOWN.includes(name)) throw invalidParameter(name, `unknown parameter: known are ${KNOWN.join(", ")}`);

  const patterns = all("topic");
  if (patterns.length > 64) throw invalidParameter("topic", `${patterns.length} patterns, at most 64`);
  for (const pattern of patterns) {
    const why = pathFault(pattern, true);
    if (why !== undefined) throw refusal("invalid-topic", why, { member: "topic" });
  }
  const types = all("type");
  if (types.length > 64) throw invalidParameter("type", `${types.length} types, at most 64`);
  for (const type of types) {
    const why = nameFault(type);
    if (why !== undefined) throw invalidParameter("type", why);
  }
  const snapshot = once("snapshot");
  if (snapshot !== undefined && snapshot !== "1") throw invalidParameter("snapshot", `${JSON.stringify(snapshot)}: want 1, or leave it out`);
  const device = once("device");
  const fault = device === undefined ? undefined : deviceFault(device);
  if (fault !== undefined) throw invalidParameter("device", fault);
  const asked = once("heartbeat");
  const heartbeat = asked === undefined ? 15_000 : readDuration(asked);
  if (heartbeat === undefined || heartbeat < 1_000 || heartbeat > 60_000) {
    throw invalidParameter("heartbeat", `${JSON.stringify(asked)}: want a duration from 1s to 1m0s, such as 15s`);
  }
  let start = resume("after", once("after"));
  if (patterns.length === 0) throw invalidParameter("topic", "it is required: name at least one pattern, as in ?topic=orders/*");
  if (lastEventId) start = resume("Last-Event-ID", lastEventId);
  if (snapshot && start.earliest) throw invalidParameter("snapshot", 'a snapshot is the present and "earliest" the past: ask for one of them');
  return { patterns, types, snapshot: snapshot !== undefined, device, heartbeat, ...start };
}

function resume(member: string, text: string | undefined): { after?: Position; earliest: boolean } {
  if (text === undefined) return { earliest: false };
  if (text === "earliest") return { earliest: true };
  const after = readCursor(text);
  if (typeof after === "string") throw invalidParameter(member, after);
  return { after, earliest: false };
}
