// The words of docs/protocol.md §1 as the hub reads them: what is wrong with one is told as the hub tells it.
import { byteLength } from "./bytes.ts";

const LETTERS = /^[A-Za-z0-9_.~:@-]$/;

/** Returns why text is no topic, or no pattern; undefined when it is one. */
export function pathFault(text: string, pattern = false): string | undefined {
  const clipped = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  const whole = (why: string): string => `topic ${JSON.stringify(clipped)}: ${why}`;
  if (text === "") return whole("empty");
  if (byteLength(text) > 256) return whole(`${byteLength(text)} bytes, at most 256`);
  const segments = text.split("/");
  for (const [i, segment] of segments.entries()) {
    const at = (why: string): string => whole(`segment ${i + 1}: ${why}`);
    const last = i === segments.length - 1;
    if (i >= 16) return at("more than 16 segments");
    if (segment === "") return at("empty");
    if (pattern && (segment === "*" || (segment === "**" && last))) continue;
    if (pattern && segment === "**") return at("** may only come last");
    const bad = [...segment].find((letter) => !LETTERS.test(letter));
    if (bad !== undefined) return at(`${JSON.stringify(bad)}: a segment holds only A-Z a-z 0-9 _ . ~ : @ -`);
  }
  return undefined;
}

/** Whether only the hub publishes on a topic. */
export function reserved(path: string): boolean {
  return path === "roxy" || path.startsWith("roxy/");
}

/** Whether every topic of the pattern inner is one of outer's. */
export function contains(outer: string, inner: string): boolean {
  if (outer.startsWith("*") && reserved(inner)) return false;
  const want = outer.split("/");
  const have = inner === "**" ? ["*", "**"] : inner.split("/"); // the same: a topic has a segment
  for (let i = 0; ; i++) {
    if (want[i] === "**") return true;
    if (i >= want.length || i >= have.length) return want.length === have.length;
    if (have[i] === "**" || (want[i] !== "*" && want[i] !== have[i])) return false;
  }
}

/** Returns why text is no name (of a user, a role, a type, a key, a correlation); undefined when it is one. */
export function nameFault(text: string): string | undefined {
  if (text === "") return "empty";
  if (byteLength(text) > 128) return `${byteLength(text)} bytes, at most 128`;
  for (const letter of text) {
    const code = letter.codePointAt(0)!;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return `holds the control character U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  }
  return undefined;
}

/** Returns why text is no device's name; undefined when it is one. */
export function deviceFault(text: string): string | undefined {
  const clipped = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  if (text === "" || byteLength(text) > 64) return `device ${JSON.stringify(clipped)}: ${byteLength(text)} bytes, want 1–64`;
  const bad = [...text].find((letter) => !/^[A-Za-z0-9_-]$/.test(letter));
  return bad === undefined ? undefined : `device ${JSON.stringify(clipped)}: ${JSON.stringify(bad)} is not one of A-Z a-z 0-9 _ -`;
}

/** A position of the log. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Returns the cursor that text spells, or why it spells none. There is one spelling for each. */
export function readCursor(text: string): Position | string {
  const parts = /^([a-z0-9]{1,32})\.(0|[1-9]\d{0,19})$/.exec(text);
  return parts ? { epoch: parts[1]!, offset: Number(parts[2]) } : `cursor ${JSON.stringify(text.slice(0, 80))}: not of the form EPOCH.OFFSET`;
}

const UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Returns the milliseconds of a Go-style duration such as 1m30s; undefined for what is none. */
export function readDuration(text: string): number | undefined {
  if (!/^[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+)$/.test(text)) return undefined;
  const sum = [...text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)].reduce((total, [, n, unit]) => total + Number(n) * UNITS[unit!]!, 0);
  return text.startsWith("-") ? -sum : sum;
}

/** Spells milliseconds as Go does: 90000 is 1m30s. */
export function spellDuration(ms: number): string {
  if (ms < 1_000) return ms === 0 ? "0s" : `${ms}ms`;
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor((ms % 3_600_000) / 60_000)];
  const seconds = `${Number(((ms % 60_000) / 1_000).toFixed(3))}s`;
  return hours > 0 ? `${hours}h${minutes}m${seconds}` : minutes > 0 ? `${minutes}m${seconds}` : seconds;
}
