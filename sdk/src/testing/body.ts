// Bodies of requests, read as strictly as the hub reads them (docs/protocol.md §3): every refusal names the member at fault.
import type { RoxyProblem } from "../core/problem.ts";
import type { Json, JsonObject } from "../store/json.ts";
import { deviceFault, nameFault, pathFault, readCursor, readDuration, type Position } from "./grammar.ts";
import { refusal, type Code } from "./problem.ts";

/** One value of a body, with its place in the text. */
export type Node = { readonly start: number; readonly end: number } & (
  | { readonly kind: "object"; readonly members: readonly (readonly [string, Node])[] }
  | { readonly kind: "array"; readonly items: readonly Node[] }
  | { readonly kind: "string" | "number" | "boolean" | "null"; readonly value: null | boolean | number | string }
);

/** What a member's value is read by; path is where it stands, such as `[3].to.roles[1]`. */
export type Read = (node: Node, path: string) => void;

/** A body, and the ways to read its values. Whatever does not fit is refused with the body's code. */
export interface Body {
  readonly root: Node;
  /** Reads an object: each member by its reader. known is told to who sends another one. */
  object(node: Node, path: string, what: string, readers: Readonly<Record<string, Read>>, known: string): void;
  /** Reads an array of 1 to limit values. */
  array<T>(node: Node, path: string, limit: number, what: string, read: (node: Node, path: string) => T): T[];
  string(node: Node, path: string): string;
  name(node: Node, path: string): string;
  names(node: Node, path: string): string[];
  topic(node: Node, path: string): string;
  device(node: Node, path: string): string;
  cursor(node: Node, path: string): Position;
  boolean(node: Node, path: string): boolean;
  /** A whole number from 0 to 2⁵³−1. */
  count(node: Node, path: string): number;
  /** A duration above 0, in milliseconds. */
  duration(node: Node, path: string): number;
  /** Any value, as it was written but for white space. */
  data(node: Node, path: string): string;
  /** An object of an entity. */
  document(node: Node, path: string): JsonObject;
  fault(path: string, why: string): RoxyProblem;
}

/** How deep the data of an event, or an entity, nests at most. */
const DEEPEST = 64;

export const join = (path: string, name: string): string => (/^\d+$/.test(name) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`);

/** Reads text as JSON. Throws the refusal of what is none, of repeated members and of half surrogate pairs. */
export function readBody(text: string, code: Code): Body {
  const fault = (path: string, why: string): RoxyProblem => refusal(code, path === "" ? why : `${path}: ${why}`, { member: path });
  const unexpected = (node: Node, path: string, want: string): RoxyProblem => {
    const kinds = { object: "an object", array: "an array", string: "a string", number: "a number", null: "null" };
    return fault(path, `want ${want}, not ${node.kind === "boolean" ? String(node.value) : kinds[node.kind]}`);
  };
  const string = (node: Node, path: string): string => {
    if (node.kind !== "string") throw unexpected(node, path, "a string");
    return node.value as string;
  };
  const checked = (check: (text: string) => string | undefined) => (node: Node, path: string): string => {
    const value = string(node, path);
    const why = check(value);
    if (why !== undefined) throw fault(path, why);
    return value;
  };
  const name = checked(nameFault);
  const shallow = (node: Node, path: string): void => {
    const depth = depthOf(node);
    if (depth > DEEPEST) throw fault(path, `nests ${depth} deep, at most ${DEEPEST}`);
  };
  const self: Body = {
    root: parse(text, code),
    object(node, path, what, readers, known) {
      if (node.kind !== "object") throw unexpected(node, path, what);
      for (const [member, value] of node.members) {
        const read = Object.hasOwn(readers, member) ? readers[member] : undefined;
        if (!read) throw fault(join(path, member), `unknown member; ${known}`);
        read(value, join(path, member));
      }
    },
    array(node, path, limit, what, read) {
      if (node.kind !== "array") throw unexpected(node, path, `an array of ${what}s`);
      const all = node.items.map((item, i) => {
        if (i === limit) throw refusal("too-large", `the array holds more than ${limit} ${what}s`);
        return read(item, `${path}[${i}]`);
      });
      if (all.length === 0) throw refusal(code, `the array holds no ${what}`, { member: path });
      return all;
    },
    string,
    name,
    names(node, path) {
      if (node.kind !== "array") throw unexpected(node, path, "an array of strings");
      return node.items.map((item, i) => {
        const one = name(item, `${path}[${i}]`);
        if (i === 256) throw fault(`${path}[${i}]`, "at most 256 roles and users");
        return one;
      });
    },
    topic(node, path) {
      const topic = string(node, path);
      const why = pathFault(topic);
      if (why !== undefined) throw refusal("invalid-topic", why, { member: path });
      return topic;
    },
    device: checked(deviceFault),
    cursor(node, path) {
      const position = readCursor(string(node, path));
      if (typeof position === "string") throw fault(path, position);
      return position;
    },
    boolean(node, path) {
      if (node.kind !== "boolean") throw unexpected(node, path, "true or false");
      return node.value as boolean;
    },
    count(node, path) {
      if (node.kind !== "number") throw unexpected(node, path, "a whole number");
      const spelled = text.slice(node.start, node.end);
      if (!/^\d+$/.test(spelled) || !Number.isSafeInteger(Number(spelled))) throw fault(path, `want a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
      return Number(spelled);
    },
    duration(node, path) {
      const ms = readDuration(string(node, path));
      if (ms === undefined || ms <= 0) throw fault(path, "want a duration above 0 such as 30s or 1h30m");
      return ms;
    },
    data(node, path) {
      shallow(node, path);
      return compact(text.slice(node.start, node.end));
    },
    document(node, path) {
      if (node.kind !== "object") throw unexpected(node, path, "an object");
      shallow(node, path);
      inexact(node, path, text);
      return valueOf(node) as JsonObject;
    },
    fault,
  };
  return self;
}

/** Refuses numbers that the hub would keep as they were sent, and that this one, which reads them, would not. */
function inexact(node: Node, path: string, text: string): void {
  if (node.kind === "object") for (const [name, value] of node.members) inexact(value, join(path, name), text);
  else if (node.kind === "array") node.items.forEach((item, i) => inexact(item, `${path}[${i}]`, text));
  else if (node.kind === "number" && JSON.stringify(node.value) !== text.slice(node.start, node.end)) {
    throw refusal("not-supported", `${path}: the test hub keeps numbers as JavaScript spells them, not ${text.slice(node.start, node.end)}`, { member: path });
  }
}

function depthOf(node: Node): number {
  const inner = node.kind === "object" ? node.members.map(([, value]) => value) : node.kind === "array" ? node.items : undefined;
  return inner ? 1 + inner.reduce((deepest, value) => Math.max(deepest, depthOf(value)), 0) : 0;
}

function valueOf(node: Node): Json {
  if (node.kind === "object") return Object.fromEntries(node.members.map(([name, value]) => [name, valueOf(value)]));
  return node.kind === "array" ? node.items.map(valueOf) : node.value;
}

/** Returns JSON without the white space between its tokens. */
function compact(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/g, (_, quoted: string | undefined) => quoted ?? "");
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS: readonly (readonly [string, boolean | null])[] = [["true", true], ["false", false], ["null", null]];

function parse(text: string, code: Code): Node {
  let at = 0;
  const skip = (): void => {
    SPACE.lastIndex = at;
    SPACE.exec(text);
    at = SPACE.lastIndex;
  };
  const wrong = (path: string): RoxyProblem => {
    if (at >= text.length) return refusal(code, `byte ${at}: the body ends inside the JSON value`, { member: path });
    return refusal(code, `byte ${at}: invalid character ${JSON.stringify(text[at])}`, { member: path });
  };
  const word = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const string = (path: string): string => {
    const start = at;
    const quoted = word(STRING);
    if (quoted === undefined) throw wrong(path);
    const value = JSON.parse(quoted) as string;
    if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value)) {
      throw refusal(code, `byte ${start}: half a surrogate pair`, { member: path });
    }
    return value;
  };
  const value = (path: string, depth: number): Node => {
    skip();
    const start = at;
    if (depth > 1_000) throw refusal(code, `byte ${at}: nests too deep`, { member: path });
    if (text[at] === "{") {
      const members: [string, Node][] = [];
      const names = new Set<string>();
      for (at++, skip(); text[at] !== "}"; skip()) {
        if (members.length > 0) {
          if (text[at] !== ",") throw wrong(path);
          at++;
          skip();
        }
        const name = string(path);
        const here = join(path, name);
        if (names.has(name)) throw refusal(code, `${here}: the name is given twice`, { member: here });
        names.add(name);
        skip();
        if (text[at] !== ":") throw wrong(here);
        at++;
        members.push([name, value(here, depth + 1)]);
      }
      return { kind: "object", members, start, end: ++at };
    }
    if (text[at] === "[") {
      const items: Node[] = [];
      for (at++, skip(); text[at] !== "]"; skip()) {
        if (items.length > 0) {
          if (text[at] !== ",") throw wrong(path);
          at++;
          skip();
          if (text[at] === "]") throw wrong(path);
        }
        items.push(value(`${path}[${items.length}]`, depth + 1));
      }
      return { kind: "array", items, start, end: ++at };
    }
    if (text[at] === '"') return { kind: "string", value: string(path), start, end: at };
    for (const [spelled, meant] of WORDS) {
      if (!text.startsWith(spelled, at)) continue;
      at += spelled.length;
      return { kind: meant === null ? "null" : "boolean", value: meant, start, end: at };
    }
    const number = word(NUMBER);
    if (number === undefined) throw wrong(path);
    return { kind: "number", value: Number(number), start, end: at };
  };
  skip();
  if (at === text.length) throw refusal(code, "the body is empty");
  const root = value("", 0);
  skip();
  if (at < text.length) throw refusal(code, `byte ${at}: something follows the JSON value`);
  return root;
}
