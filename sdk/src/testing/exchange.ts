// Requests as they come through fetch, and the answers to them.
import type { RoxyProblem } from "../core/problem.ts";
import { refusal, type Code } from "./problem.ts";
import type { Stream } from "./streams.ts";

export interface Request {
  readonly method: string;
  /** Below the hub's URL, still escaped, without the query. */
  readonly path: string;
  readonly query: readonly (readonly [string, string])[];
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** Whether a browser would send the cookie. */
  readonly cookie: boolean;
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What follows for as long as it lives. */
  readonly stream?: Stream;
}

/** The part of a path that tells what is asked for: `stream`, `events`, `mutations`, … */
export const routeOf = (path: string): string => path.split("/")[2] ?? "";

export function answerJSON(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Answered {
  const all = { "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers };
  return { status, headers: all, body: JSON.stringify(value) };
}

/** Answers with a problem. sent tells whether the request carried a token. */
export function answerProblem(problem: RoxyProblem, sent: boolean): Answered {
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (problem.retryAfter > 0) headers["retry-after"] = String(Math.ceil(problem.retryAfter / 1_000));
  if (problem.status === 401) {
    const expired = problem.code === "token-expired" ? ', error_description="the token has expired"' : "";
    headers["www-authenticate"] = `Bearer realm="roxy"${sent || expired ? ', error="invalid_token"' : ""}${expired}`;
  }
  return answerJSON(problem.members, problem.status, headers);
}

/** Reads the query of a URL; + is a space. */
export function readQuery(text: string): (readonly [string, string])[] {
  const decode = (part: string): string => decodeURIComponent(part.replaceAll("+", " "));
  try {
    return text
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => [decode(pair.split("=", 1)[0]!), pair.includes("=") ? decode(pair.slice(pair.indexOf("=") + 1)) : ""]);
  } catch {
    throw refusal("invalid-parameter", "the query is not percent-encoded as it should be");
  }
}

/** Returns the parameters of a query that may be given once each. Refuses others. */
export function readParameters<Name extends string>(query: Request["query"], known: readonly Name[]): Partial<Record<Name, string>> {
  const found: Partial<Record<Name, string>> = {};
  for (const [name, value] of query) {
    if (!isOne(known, name)) throw refusal("invalid-parameter", `unknown parameter ${JSON.stringify(name)}: known are ${known.join(", ")}`, { member: name });
    if (found[name] !== undefined) throw refusal("invalid-parameter", `${name} is given more than once`, { member: name });
    found[name] = value;
  }
  return found;
}

function isOne<Name extends string>(known: readonly Name[], name: string): name is Name {
  return known.some((one) => one === name);
}

/** Refuses a body that is not of a media type. */
export function wantMedia(request: Request, want: string): void {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    throw refusal("unsupported-media-type", `a body is sent as it is, not as ${JSON.stringify(encoding)}`, { member: "Content-Encoding" });
  }
  const given = request.headers.get("content-type") ?? "";
  const [media, ...parameters] = given.toLowerCase().split(";").map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.slice("charset=".length).replaceAll('"', "") ?? "utf-8";
  if (want === "application/json" && (media!.startsWith("application/cloudevents") || request.headers.has("ce-specversion"))) {
    throw refusal("not-supported", "the test hub takes no CloudEvents", { member: "Content-Type" });
  }
  if (media !== want || charset !== "utf-8") {
    throw refusal("unsupported-media-type", `Content-Type ${JSON.stringify(given)}: want ${want}`, { member: "Content-Type" });
  }
}

/** Returns a header's key, bare or quoted. */
export function idempotencyKey(request: Request, check: (key: string) => string | undefined): string | undefined {
  const value = request.headers.get("idempotency-key");
  if (value === undefined) return undefined;
  const bad = (why: string): RoxyProblem => refusal("invalid-parameter", `header Idempotency-Key: ${why}`, { member: "Idempotency-Key" });
  let key = value;
  if (value.startsWith('"')) {
    if (!/^"([^"\\]|\\["\\])*"$/.test(value)) throw bad("want one key, bare or as a quoted string");
    key = value.slice(1, -1).replace(/\\(.)/g, "$1");
  }
  const why = check(key);
  if (why !== undefined) throw bad(why);
  return key;
}

/** Returns the header traceparent when it is one; a broken one is ignored (W3C trace context). */
export function traceOf(request: Request): string | undefined {
  const given = request.headers.get("traceparent") ?? "";
  const fits = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-[!-~]*$)/.test(given);
  return fits && given.length <= 128 && (given.length === 55 || !given.startsWith("00")) ? given : undefined;
}

export const invalidParameter = (member: string, why: string): RoxyProblem => refusal("invalid-parameter" satisfies Code, `${member}: ${why}`, { member });
