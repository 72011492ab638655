// PUT, PATCH and DELETE of an entity: one mutation, whose guard and labels are in headers (docs/protocol.md §6).
import type { RoxyProblem } from "../core/problem.ts";
import { withoutNulls } from "../store/json.ts";
import { readBody } from "./body.ts";
import type { MutationAsked } from "./entities.ts";
import { wantMedia, type Request } from "./exchange.ts";
import { refusal } from "./problem.ts";

/** Reads what a request does to the entity at topic. */
export function readWrite(request: Request, topic: string, body: () => string): Omit<MutationAsked, "by"> {
  const { headers, method } = request;
  const guard = readGuard(headers);
  const seq = headers.get("roxy-seq");
  if (seq !== undefined && !/^\d{1,16}$/.test(seq)) throw invalidHeader("Roxy-Seq", `${JSON.stringify(seq)}: want a whole number`);
  const label = (name: string): string | undefined => headers.get(name) || undefined;
  const labels = { device: label("roxy-device"), type: label("roxy-type"), correlation: label("roxy-correlation"), seq: seq === undefined ? undefined : Number(seq) };
  if (method === "DELETE") return { op: "delete", topic, ...guard, ...labels };
  const op = method === "PUT" ? "put" : "patch";
  wantMedia(request, op === "put" ? "application/json" : "application/merge-patch+json");
  const read = readBody(body(), "invalid-mutation");
  const document = read.document(read.root, "");
  return { op, topic, content: op === "put" ? withoutNulls(document) : document, ...guard, ...labels };
}

function readGuard(headers: Request["headers"]): Pick<MutationAsked, "guard" | "base" | "present"> {
  const given = ["If-Match", "If-None-Match", "Roxy-Base"].filter((name) => headers.has(name.toLowerCase()));
  if (given.length > 1) throw invalidHeader(given[1]!, `${given[0]} is given already, and one of them guards`);
  const [name] = given;
  if (name === undefined) return { guard: "none", base: 0 };
  const value = headers.get(name.toLowerCase())!.trim();
  if (value.includes(",")) throw invalidHeader(name, "one value guards, no list");
  switch (name) {
    case "If-None-Match":
      if (value !== "*") throw invalidHeader(name, "only * guards a write: there must be no entity");
      return { guard: "version", base: 0 };
    case "If-Match":
      if (value === "*") return { guard: "none", base: 0, present: true };
      if (!/^"[1-9]\d{0,15}"$/.test(value)) throw invalidHeader(name, `${JSON.stringify(value)}: want the ETag that was read, as in "7", or *`);
      return { guard: "version", base: Number(value.slice(1, -1)) };
    default:
      if (!/^\d{1,16}$/.test(value)) throw invalidHeader(name, `${JSON.stringify(value)}: want the version that was read, as in 7`);
      return { guard: "fields", base: Number(value) };
  }
}

const invalidHeader = (name: string, why: string): RoxyProblem => refusal("invalid-parameter", `header ${name}: ${why}`, { member: name });
