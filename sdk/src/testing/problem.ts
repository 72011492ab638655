// Refusals as the hub tells them (docs/problems.md), one row for each code.
import { RoxyProblem } from "../core/problem.ts";

interface Row {
  readonly status: number;
  readonly title: string;
  readonly remedy: string;
  /** Seconds to wait; 0 for what repetition does not cure. */
  readonly retry?: number;
}

/** A code of docs/problems.md, or `not-supported` for what only the real hub does. */
export type Code =
  | "unauthenticated"
  | "token-expired"
  | "token-in-url"
  | "forbidden"
  | "invalid-topic"
  | "invalid-event"
  | "invalid-mutation"
  | "invalid-parameter"
  | "too-large"
  | "not-found"
  | "method-not-allowed"
  | "not-acceptable"
  | "unsupported-media-type"
  | "version-conflict"
  | "key-reused"
  | "cancelled"
  | "rate-limited"
  | "overloaded"
  | "not-ready"
  | "internal"
  | "not-supported";

const TABLE: Readonly<Record<Code, Row>> = {
  unauthenticated: { status: 401, title: "Not authenticated", remedy: "Send a valid token: Authorization: Bearer TOKEN, the cookie, or a fresh ticket." },
  "token-expired": { status: 401, title: "The token has expired", remedy: "Fetch a new token and repeat the request." },
  "token-in-url": { status: 400, title: "A token does not belong in a URL", remedy: "Exchange the token for a ticket by POST /v1/tickets and put that into ?ticket=." },
  forbidden: { status: 403, title: "Not allowed", remedy: "Ask whoever issues the token or keeps the policy for the grant." },
  "invalid-topic": { status: 400, title: "The topic is not valid", remedy: "Use 1 to 16 segments of A-Z a-z 0-9 _ . ~ : @ - that do not begin with roxy/." },
  "invalid-event": { status: 400, title: "The event is not valid", remedy: "Correct the member at fault." },
  "invalid-mutation": { status: 400, title: "The mutation is not valid", remedy: "Correct the member at fault." },
  "invalid-parameter": { status: 400, title: "A parameter is not valid", remedy: "Correct the parameter or header at fault." },
  "too-large": { status: 413, title: "Too large", remedy: "Send less in one event or request; keep large contents elsewhere and publish where they are." },
  "not-found": { status: 404, title: "Not found", remedy: "Check the path and the identifiers in it." },
  "method-not-allowed": { status: 405, title: "The method is not allowed here", remedy: "Use one of the methods of the Allow header." },
  "not-acceptable": { status: 406, title: "Nothing acceptable to answer with", remedy: "Send Accept: text/event-stream, or no Accept at all." },
  "unsupported-media-type": { status: 415, title: "The media type is not supported", remedy: "Send JSON in UTF-8, as it is, with the Content-Type that the detail names." },
  "version-conflict": { status: 409, title: "Somebody else changed it meanwhile", remedy: "Look at current, decide what is wanted by now, and send that with the new version." },
  "key-reused": { status: 422, title: "The idempotency key was used for something else", remedy: "Use a new key for something new, and the same body with the same key." },
  cancelled: { status: 410, title: "The mutation was cancelled", remedy: "Send it with a new id if it is wanted after all." },
  "rate-limited": { status: 429, title: "Too many", remedy: "Wait for Retry-After, then go on more slowly.", retry: 1 },
  overloaded: { status: 503, title: "The hub is overloaded", remedy: "Wait for Retry-After, then repeat the request with the same idempotency keys.", retry: 2 },
  "not-ready": { status: 503, title: "The hub is not ready", remedy: "Wait for Retry-After, then repeat the request.", retry: 2 },
  internal: { status: 500, title: "The hub failed", remedy: "Report it with the time of the request; the cause is in the hub's log." },
  // The real hub's table ends here.
  "not-supported": { status: 400, title: "The test hub does not do this", remedy: "Test this against the real hub: roxy dev." },
};

/** Further members of a problem. */
export interface More {
  readonly member?: string;
  /** Of a version-conflict: what it ran into. */
  readonly current?: unknown;
  readonly fields?: readonly string[];
  /** Seconds to wait, in place of what is usual for the code. */
  readonly retryAfter?: number;
  /** In place of the code's: 412 for a conflict with a guard of headers. */
  readonly status?: number;
}

/** Returns the refusal with a code. Its members are the body of the hub's answer (RFC 9457). */
export function refusal(code: Code, detail: string, more: More = {}): RoxyProblem {
  const row = TABLE[code];
  const { status = row.status, member, current, fields, retryAfter = row.retry ?? 0 } = more;
  const members = {
    type: `https://roxyhub.dev/problems#${code}`,
    title: row.title,
    status,
    detail,
    code,
    ...(member && { member }),
    remedy: row.remedy,
    ...(retryAfter > 0 && { retryAfter: `${retryAfter}s` }),
    ...(current !== undefined && { current }),
    ...(fields && fields.length > 0 && { fields }),
  };
  return new RoxyProblem(code, status, detail, retryAfter * 1_000, members);
}

/** Returns a refusal with other members, such as another place of the one at fault. */
export function altered(problem: RoxyProblem, more: More): RoxyProblem {
  const { member, current, fields } = problem.members as More;
  const kept: More = { ...(member && { member }), ...(current !== undefined && { current }), ...(fields && { fields }), status: problem.status };
  return refusal(problem.code as Code, String(problem.members["detail"]), { ...kept, ...more });
}

/** The code that a status most often has: for scripts that only name the status. */
export function codeOf(status: number): Code | undefined {
  return (Object.keys(TABLE) as Code[]).find((code) => TABLE[code].status === status && code !== "not-supported");
}
