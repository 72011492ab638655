/** A refusal in the hub's words (docs/protocol.md §8), or what is known of one that a proxy gave. */
export class RoxyProblem extends Error {
  /** The code, such as `rate-limited`; `http-STATUS` when the answer had none; `network` when there was no answer. */
  readonly code: string;
  readonly status: number;
  /** Milliseconds that the hub asks to wait. */
  readonly retryAfter: number;
  /** All that the hub told: `member`, `current`, `fields`, `violations`, … */
  readonly members: Readonly<Record<string, unknown>>;

  constructor(code: string, status: number, detail: string, retryAfter = 0, members: Readonly<Record<string, unknown>> = {}) {
    super(`${code}: ${detail}`);
    this.name = "RoxyProblem";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.members = members;
  }

  /** Whether another attempt may do better: refusals of load and of a hub in trouble, and no answer at all. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

/** Returns the problem that an answer's status, body and Retry-After tell. */
export function problemOf(status: number, text: string, retryAfter: string | null): RoxyProblem {
  const seconds = /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : 0; // the hub sends seconds, never a date
  try {
    return problemFrom(JSON.parse(text), status, seconds * 1000);
  } catch {
    return problemFrom(undefined, status, seconds * 1000); // a proxy's page, which is not shown: it may hold anything
  }
}

/** Returns the problem that is told by value, a problem object. */
export function problemFrom(value: unknown, status: number, retryAfter = 0): RoxyProblem {
  const members: Record<string, unknown> = typeof value === "object" && value !== null ? { ...value } : {};
  const { code, detail, title } = members;
  const known = typeof code === "string" && code !== "";
  const told = typeof members["status"] === "number" ? members["status"] : status;
  const words = typeof detail === "string" ? detail : typeof title === "string" ? title : "";
  const wait = Math.max(retryAfter, known ? duration(members["retryAfter"]) : 0);
  return known ? new RoxyProblem(code, told, words, wait, members) : new RoxyProblem(`http-${status}`, status, `the answer was ${status}`, wait);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Returns the milliseconds of a duration such as "1m30s"; 0 for what is none. */
export function duration(text: unknown): number {
  if (typeof text !== "string" || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return 0;
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!, 0);
}
