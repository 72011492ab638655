// Mutations (docs/protocol.md §6): bulk calls, single writes, their results and cancellation.
import { RoxyProblem } from "../core/problem.ts";
import { withoutNulls, type JsonObject } from "../store/json.ts";
import { byteLength } from "./bytes.ts";
import { join, readBody, type Body, type Node, type Read } from "./body.ts";
import type { Voice } from "./critical.ts";
import { apply, contentOf, toldEntity, type Entities, type EntityState, type MutationAsked } from "./entities.ts";
import { deviceFault, nameFault, reserved } from "./grammar.ts";
import { mayRead, mayWrite, type Identity } from "./identity.ts";
import type { Log } from "./log.ts";
import { altered, refusal } from "./problem.ts";
import { BATCH, inArray, KEPT, within, type Labels } from "./publish.ts";

/** What a commit answers. */
export interface MutationResult {
  readonly id: string;
  readonly topic: string;
  readonly version: number;
  readonly cursor: string;
  readonly duplicate?: true;
}

/** What became of a mutation. */
export interface Outcome {
  readonly id: string;
  readonly status: "committed" | "refused" | "cancelled" | "unknown";
  readonly topic?: string;
  readonly version?: number;
  readonly cursor?: string;
  readonly problem?: Readonly<Record<string, unknown>>;
}

export interface Mutations {
  /** POST /v1/mutations. Throws the hub's refusals. */
  bulk(identity: Identity, text: string, labels: Labels): { results: MutationResult[] };
  /** One write; created tells whether nothing lived there before. */
  one(identity: Identity, asked: Omit<MutationAsked, "by">): { result: MutationResult; created: boolean };
  status(identity: Identity, text: string): { results: Outcome[] };
  cancel(identity: Identity, id: string): Outcome;
  lose(): void;
}

export interface MutationParts {
  readonly log: Log;
  readonly wall: () => number;
  readonly entities: Entities;
  readonly voice: Voice;
  readonly maxBytes: number;
}

interface Stored {
  readonly print: string;
  readonly outcome: Outcome;
  /** Of a refusal or a cancellation. */
  readonly refused?: RoxyProblem;
  readonly kept: number;
}

type Asked = Omit<MutationAsked, "by">;

export function createMutations({ log, wall, entities, voice, maxBytes }: MutationParts): Mutations {
  const stored = new Map<string, Stored>();
  const scope = (user: string, id: string): string => `${user}\n${id}`;
  const known = (user: string, id: string): Stored | undefined => {
    const found = stored.get(scope(user, id));
    return found && wall() - found.kept < KEPT ? found : undefined;
  };

  const receipt = (m: MutationAsked, outcome: Omit<Outcome, "id">): void => {
    if (m.device !== undefined && m.id !== undefined) voice.control(m.by, m.device, "roxy:receipt", { id: m.id, topic: m.topic, ...outcome });
  };

  /** Refuses a mutation by what was stored of its id, or returns what was. */
  const before = (m: MutationAsked): Stored | undefined => {
    const found = m.id === undefined ? undefined : known(m.by, m.id);
    if (!found) return undefined;
    if (found.outcome.status === "cancelled") throw cancelled();
    if (found.print !== printOf(m)) throw reused();
    if (found.refused) throw found.refused;
    return found;
  };

  /** Adds what the author may see of what a mutation ran into. */
  const explained = (problem: RoxyProblem, identity: Identity, m: MutationAsked): RoxyProblem =>
    problem.code === "version-conflict" && mayRead(identity, m.topic) ? altered(problem, { current: toldEntity(entities.get(m.topic)) }) : problem;

  const mutate = (identity: Identity, asked: readonly MutationAsked[]): { results: MutationResult[]; created: boolean[] } => {
    const n = asked.length;
    asked.forEach((m, i) => {
      try {
        check(m, maxBytes);
        if (!mayWrite(identity, m.topic)) {
          throw refusal("forbidden", `topic ${JSON.stringify(m.topic)} lies outside what ${JSON.stringify(identity.user)} may write`, { member: "topic" });
        }
      } catch (error) {
        throw within(i, n, error);
      }
    });
    const first = new Map<string, number>(); // where the ids of this call stand first
    const states = new Map<string, EntityState>();
    const fresh: { m: MutationAsked; i: number; was: EntityState; next: EntityState; change: ReturnType<typeof apply>["change"] }[] = [];
    const results: MutationResult[] = [];
    const created: boolean[] = [];
    asked.forEach((m, i) => {
      try {
        const earlier = m.id === undefined ? undefined : first.get(m.id);
        if (earlier !== undefined && printOf(asked[earlier]!) !== printOf(m)) throw reused();
        if (earlier !== undefined) return;
        if (m.id !== undefined) first.set(m.id, i);
        const found = before(m);
        if (found) {
          const { id, topic, version, cursor } = found.outcome;
          results[i] = { id, topic: topic!, version: version!, cursor: cursor!, duplicate: true };
          return;
        }
        const was = states.get(m.topic) ?? entities.get(m.topic);
        try {
          const { next, change } = apply(was, m, maxBytes);
          states.set(m.topic, next);
          fresh.push({ m, i, was, next, change });
        } catch (error) {
          const refused = error as RoxyProblem;
          if (m.id !== undefined) {
            stored.set(scope(m.by, m.id), { print: printOf(m), kept: wall(), refused, outcome: { id: m.id, status: "refused", topic: m.topic, problem: refused.members } });
          }
          throw refused;
        }
      } catch (error) {
        if (!(error instanceof RoxyProblem)) throw error;
        const problem = explained(error, identity, m);
        if (problem.code !== "key-reused") receipt(m, { status: problem.code === "cancelled" ? "cancelled" : "refused", problem: problem.members });
        throw within(i, n, problem);
      }
    });
    for (const { m, i, was, next, change } of fresh) {
      const type = m.type ?? (m.op === "delete" ? "entity:deleted" : was.data ? "entity:updated" : "entity:created");
      const event = log.place({ topic: m.topic, type, roles: [], users: [], by: m.by, correlation: m.correlation, traceparent: m.traceparent, change });
      entities.set({ ...next, time: event.time });
      const cursor = log.cursor(event.offset);
      results[i] = { id: m.id ?? cursor, topic: m.topic, version: next.version, cursor };
      created[i] = !was.data;
      if (m.id === undefined) continue;
      const outcome: Outcome = { id: m.id, status: "committed", topic: m.topic, version: next.version, cursor };
      stored.set(scope(m.by, m.id), { print: printOf(m), kept: wall(), outcome });
    }
    asked.forEach((m, i) => {
      results[i] ??= { ...results[first.get(m.id!)!]!, duplicate: true };
    });
    log.flush();
    asked.forEach((m, i) => receipt(m, { status: "committed", version: results[i]!.version, cursor: results[i]!.cursor }));
    return { results, created };
  };

  return {
    bulk(identity, text, { key, traceparent }) {
      const { mutations, array } = readMutations(text);
      if (key !== undefined) {
        const wrong = (why: string): RoxyProblem => refusal("invalid-parameter", `header Idempotency-Key: ${why}`, { member: "Idempotency-Key" });
        if (mutations.length > 1) throw wrong("it goes with a single mutation; in an array each mutation has its own id");
        if (mutations[0]!.id !== undefined && mutations[0]!.id !== key) throw wrong("differs from the mutation's id");
        mutations[0] = { ...mutations[0]!, id: key };
      }
      try {
        return { results: mutate(identity, mutations.map((m) => ({ ...m, by: identity.user, traceparent }))).results };
      } catch (error) {
        throw inArray(error, array);
      }
    },
    one(identity, asked) {
      const { results, created } = mutate(identity, [{ ...asked, by: identity.user }]);
      return { result: results[0]!, created: created[0] === true };
    },
    status(identity, text) {
      const body = readBody(text, "invalid-parameter");
      let ids: string[] | undefined;
      body.object(body.root, "", "an object", { ids: (node, path) => (ids = body.array(node, path, BATCH, "id", body.name)) }, "there is ids alone: an array of mutations' ids");
      if (!ids) throw body.fault("ids", "ids is required: an array of mutations' ids");
      return { results: ids.map((id): Outcome => known(identity.user, id)?.outcome ?? { id, status: "unknown" }) };
    },
    cancel(identity, id) {
      const why = nameFault(id);
      if (why !== undefined) throw refusal("invalid-parameter", `id: ${why}`, { member: "id" });
      if (identity.grant.write.length === 0) throw refusal("forbidden", `${JSON.stringify(identity.user)} may write nothing, and so has nothing to cancel`);
      const found = known(identity.user, id);
      if (found) return found.outcome;
      const outcome: Outcome = { id, status: "cancelled", problem: cancelled().members };
      stored.set(scope(identity.user, id), { print: "", kept: wall(), outcome });
      return outcome;
    },
    lose: () => stored.clear(),
  };
}

const cancelled = (): RoxyProblem => refusal("cancelled", "the mutation was cancelled before it came; nothing was changed", { member: "id" });
const reused = (): RoxyProblem => refusal("key-reused", "the id was used for another mutation before", { member: "id" });

/** What tells apart two mutations with one id: all that the author set but for the trace. */
function printOf({ op, topic, content, guard, base, present, seq, device, type, correlation }: MutationAsked): string {
  return JSON.stringify([op, topic, sorted(content), guard, base, present ?? false, seq ?? 0, device, type, correlation]);
}

/** The same text for the same value, in whichever order its members are. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, sorted(inner)]);
}

function check(m: Asked, maxBytes: number): void {
  const invalid = (member: string, detail: string): RoxyProblem => refusal("invalid-mutation", detail, { member });
  const topic = (why: string): RoxyProblem => refusal("invalid-topic", `topic ${JSON.stringify(m.topic)}: ${why}`, { member: "topic" });
  if (m.topic === "") throw refusal("invalid-topic", "topic is required", { member: "topic" });
  if (reserved(m.topic)) throw topic("roxy/ is reserved for the hub");
  if (m.topic.split("/").some((segment) => segment === "." || segment === "..")) throw topic("no entity lives at . or .., which no URL can name");
  if (!["put", "patch", "delete"].includes(m.op)) throw invalid("op", `op ${JSON.stringify(m.op)} is none of put, patch and delete`);
  if (m.op !== "delete" && !m.content) throw invalid(contentOf(m.op), `${contentOf(m.op)} is required`);
  if (!["none", "version", "fields"].includes(m.guard)) throw invalid("guard", `guard ${JSON.stringify(m.guard)} is none of none, version and fields`);
  if (m.type?.startsWith("roxy:")) throw invalid("type", `type ${JSON.stringify(m.type)}: types that begin with roxy: are the hub's`);
  if (m.seq && m.device === undefined) throw invalid("seq", "seq counts the mutations of a device: give device");
  for (const member of ["id", "type", "correlation"] as const) {
    const why = m[member] === undefined ? undefined : nameFault(m[member]);
    if (why !== undefined) throw invalid(member, `${member}: ${why}`);
  }
  if (m.device !== undefined && deviceFault(m.device) !== undefined) throw invalid("device", deviceFault(m.device)!);
  const texts = [m.topic, m.type, m.content && JSON.stringify(m.content), m.id, m.correlation, m.device];
  const size = texts.reduce((sum, text) => sum + byteLength(text ?? ""), 0);
  if (size > maxBytes) throw refusal("too-large", `the mutation takes ${size} bytes, at most ${maxBytes}`, { member: contentOf(m.op) });
}

function readMutations(text: string): { mutations: Asked[]; array: boolean } {
  const body = readBody(text, "invalid-mutation");
  const { root } = body;
  if (root.kind === "array") return { array: true, mutations: body.array(root, "", BATCH, "mutation", (node, path) => readMutation(body, node, path)) };
  return { array: false, mutations: [readMutation(body, root, "")] };
}

function readMutation(body: Body, node: Node, path: string): Asked {
  const m: { -readonly [Member in keyof Asked]: Asked[Member] } & { op: string; guard: string } = { op: "" as Asked["op"], topic: "", guard: "none", base: 0 };
  const contents: Partial<Record<"data" | "patch", JsonObject>> = {};
  let based = false;
  const readers: Record<string, Read> = {
    id: (value, at) => (m.id = body.name(value, at)),
    op: (value, at) => (m.op = body.name(value, at) as Asked["op"]),
    topic: (value, at) => (m.topic = body.topic(value, at)),
    data: (value, at) => (contents.data = m.content = withoutNulls(body.document(value, at))),
    patch: (value, at) => (contents.patch = m.content = body.document(value, at)),
    guard: (value, at) => (m.guard = body.name(value, at) as Asked["guard"]),
    base: (value, at) => ((m.base = body.count(value, at)), (based = true)),
    device: (value, at) => (m.device = body.name(value, at)),
    seq: (value, at) => (m.seq = body.count(value, at)),
    type: (value, at) => (m.type = body.name(value, at)),
    correlation: (value, at) => (m.correlation = body.name(value, at)),
  };
  const what = path === "" ? "a mutation or an array of mutations" : "a mutation";
  body.object(node, path, what, readers, "a mutation has the members id, op, topic, data, patch, guard, base, device, seq, type and correlation");
  const at = (name: string, why: string): RoxyProblem => refusal("invalid-mutation", why, { member: join(path, name) });
  if ((m.op as string) === "") throw at("op", "op is required: put, patch or delete");
  if (contents.data && m.op !== "put") throw at("data", `data goes with put, not with ${JSON.stringify(m.op)}`);
  if (contents.patch && m.op !== "patch") throw at("patch", `patch goes with patch, not with ${JSON.stringify(m.op)}`);
  if (m.guard === "none" && based) throw at("base", "base says nothing without a guard: give guard version or fields");
  if ((m.guard === "version" || m.guard === "fields") && !based) throw at("base", "base is required with a guard: the version that you saw, 0 for none");
  return m;
}
