import type { Answer, FetchInit, Platform } from "./platform.ts";

/** A refusal in the hub's words (docs/protocol.md §8), or what is known of one that a proxy gave. */
export class RoxyProblem extends Error {
  override readonly name = "RoxyProblem";
  /** The code, such as `rate-limited`; `http-STATUS` when the answer had none; `network` when there was no answer. */
  declare readonly code: string;
  declare readonly status: number;
  /** Milliseconds that the hub asks to wait. */
  declare readonly retryAfter: number;
  /** All that the hub told: `member`, `current`, `fields`, `violations`, … */
  declare readonly members: Readonly<Record<string, unknown>>;

  constructor(code: string, status: number, detail = "", retryAfter = 0, members: Readonly<Record<string, unknown>> = {}) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.members = members;
  }

  /** Whether another attempt may do better: refusals of load and of a hub in trouble, and no answer at all. */
  get passing(): boolean {
    return [0, 408, 425, 429].includes(this.status) || this.status >= 500;
  }
}

/** Asks the hub. Throws the problem of an answer that is a refusal. */
export async function ask({ fetch }: Platform, url: string, init: Omit<FetchInit, "cache">): Promise<Answer> {
  const answer = await fetch!(url, { ...init, cache: "no-store" });
  const { status, headers } = answer;
  // The hub sends seconds, never a date.
  if (status > 299) throw problemFrom(parsed(await answer.text()), status, Number(headers.get("Retry-After")) * 1_000 || 0);
  return answer;
}

/** Returns the problem that is told by value, a problem object. What has no code is not shown: a proxy's page may hold anything. */
export function problemFrom(value: unknown, status: number, retryAfter = 0): RoxyProblem {
  const told = Object(value) as Record<string, unknown>;
  const members = typeof told["code"] === "string" ? told : {};
  const { code = `http-${status}`, status: own = status, detail, title = "" } = members;
  const wait = Math.max(retryAfter, duration(members["retryAfter"]));
  return new RoxyProblem(code as string, own as number, String(detail ?? title), wait, members);
}

/** Returns the problem of a stream that is not as docs/protocol.md says: to connect anew would bring the same again. */
export function garbled(why: string): RoxyProblem {
  return new RoxyProblem("garbled", 422, why);
}

/** Returns the problem of a call that got no answer. */
export function unreachable(error: unknown): RoxyProblem {
  return error instanceof RoxyProblem ? error : new RoxyProblem("network", 0, String(error));
}

/** Returns the value of a JSON text; undefined when it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the milliseconds of a duration such as "1m30s"; 0 for what is none. */
export function duration(text: unknown): number {
  const [, hours = 0, minutes = 0, seconds = 0, ms = 0] = /^(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?(?:([\d.]+)ms)?$/.exec(String(text)) ?? [];
  return ((+hours * 60 + +minutes) * 60 + +seconds) * 1_000 + +ms;
}
