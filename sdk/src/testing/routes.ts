// What is served where: the table of contents, in the order of docs/protocol.md.
import { RoxyProblem } from "../core/problem.ts";
import { byteLength, fromBase64url, toBase64url } from "./bytes.ts";
import { readBody } from "./body.ts";
import { toldCritical, type Criticals } from "./critical.ts";
import type { Devices } from "./devices.ts";
import { toldEntity, type Entities, type MutationAsked } from "./entities.ts";
import { answerJSON, answerProblem, idempotencyKey, invalidParameter, readParameters, traceOf, wantMedia, type Answered, type Request } from "./exchange.ts";
import { deviceFault, nameFault, pathFault, readCursor, type Position } from "./grammar.ts";
import { mayRead, type Identities, type Identity } from "./identity.ts";
import { spellTime, type Log } from "./log.ts";
import type { Mutations } from "./mutations.ts";
import type { Presence } from "./presence.ts";
import { altered, refusal } from "./problem.ts";
import { BATCH, type Publishing } from "./publish.ts";
import type { Streams } from "./streams.ts";
import { readSubscription } from "./subscription.ts";
import { readWrite } from "./write.ts";

export interface Parts {
  readonly wall: () => number;
  readonly identities: Identities;
  readonly log: Log;
  readonly entities: Entities;
  readonly devices: Devices;
  readonly criticals: Criticals;
  readonly presence: Presence;
  readonly publishing: Publishing;
  readonly mutations: Mutations;
  readonly streams: Streams;
  readonly maxBytes: number;
}

/** The largest body of one event or mutation, and of any request. */
const LARGEST = 8 << 20;

type Handler = (request: Request, rest: string) => Answered;

interface Route {
  /** Of the path; what is caught is the handler's rest, still escaped. */
  readonly path: RegExp;
  /** In the order in which Allow tells them. */
  readonly methods: Readonly<Record<string, Handler>>;
}

/** Returns what answers requests. */
export function createRoutes(parts: Parts): (request: Request) => Answered {
  const { wall, identities, log, entities, devices, criticals, presence, publishing, mutations, streams } = parts;

  const identify = (request: Request): Identity =>
    identities.authenticate({ authorization: request.headers.get("authorization"), query: request.query, cookie: request.cookie });

  /** A handler for whoever is authenticated. */
  const known =
    (answer: (who: Identity, request: Request, rest: string) => Answered): Handler =>
    (request, rest) =>
      answer(identify(request), request, rest);

  const bodyOf = (request: Request): string => {
    const limit = Math.max(parts.maxBytes + 1_024, Math.min((parts.maxBytes + 1_024) * BATCH, LARGEST));
    if (byteLength(request.body) > limit) throw refusal("too-large", `the body is larger than ${limit} bytes`);
    return request.body;
  };
  const labels = (request: Request): { key: string | undefined; traceparent: string | undefined } => ({
    key: idempotencyKey(request, nameFault),
    traceparent: traceOf(request),
  });
  const head = (): string => log.cursor(log.head);
  const reads = (who: Identity, path: string, member: string): void => {
    if (!mayRead(who, path)) throw refusal("forbidden", `${member} ${JSON.stringify(path)} lies outside what ${JSON.stringify(who.user)} may read`, { member });
  };

  const publish = known((who, request) => {
    wantMedia(request, "application/json");
    return answerJSON(publishing.publish(who, bodyOf(request), labels(request)));
  });

  const receipts = known((who, _, rest) => {
    const cursor = readCursor(rest);
    if (typeof cursor === "string") throw refusal("invalid-parameter", cursor, { member: "cursor" });
    const critical = cursor.epoch === log.epoch ? criticals.at(cursor.offset) : undefined;
    if (!critical || (critical.event.by !== who.user && !who.grant.admin)) {
      throw refusal("not-found", "no critical event of yours is retained at this cursor", { member: "cursor" });
    }
    return answerJSON(toldCritical(critical));
  });

  const list = known((who, request) => {
    const { match, limit, page } = readParameters(request.query, ["match", "limit", "page", "ticket"]);
    if (match === undefined) throw refusal("invalid-parameter", "match is required: a pattern, as in ?match=orders/*", { member: "match" });
    const why = pathFault(match, true);
    if (why !== undefined) throw refusal("invalid-topic", why, { member: "match" });
    const size = pageSize(limit);
    const [cursor = head(), forPattern, after = ""] = page === undefined ? [] : (fromBase64url(page)?.split("\n") ?? []);
    if (page !== undefined && (forPattern !== match || after === "")) throw invalidParameter("page", "it is none that was given for this match: begin again without");
    reads(who, match, "match");
    const behind = entities.matching([match]).filter(({ topic }) => topic > after);
    const shown = behind.slice(0, size);
    const next = behind.length > size ? { page: toBase64url([cursor, match, shown.at(-1)!.topic].join("\n")) } : {};
    return answerJSON({ entities: shown.map(toldEntity), cursor, ...next });
  });

  const read = known((who, request, rest) => {
    const topic = topicOf(rest);
    reads(who, topic, "topic");
    const state = entities.get(topic);
    if (!state.data) throw refusal("not-found", `nothing lives at ${JSON.stringify(topic)}`, { member: "topic" });
    const etag = `"${state.version}"`;
    const asked = (request.headers.get("if-none-match") ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
    if (asked.includes(etag) || asked.includes("*")) return { status: 304, headers: { etag, "cache-control": "no-store" }, body: "" };
    return answerJSON({ ...toldEntity(state), cursor: head() }, 200, { etag });
  });

  const write = known((who, request, rest) => {
    const asked: Omit<MutationAsked, "by"> = readWrite(request, topicOf(rest), () => bodyOf(request));
    const { key, traceparent } = labels(request);
    try {
      const { result, created } = mutations.one(who, { ...asked, id: key, traceparent });
      return answerJSON(result, created ? 201 : 200, { etag: `"${result.version}"` });
    } catch (error) {
      throw byHeaders(request, error);
    }
  });

  const acknowledge = known((who, request) => {
    wantMedia(request, "application/json");
    const body = readBody(bodyOf(request), "invalid-parameter");
    const said: { device?: string; delivered?: Position; ids?: Position[] } = {};
    const readers = {
      device: (node: typeof body.root, at: string) => void (said.device = body.device(node, at)),
      delivered: (node: typeof body.root, at: string) => void (said.delivered = body.cursor(node, at)),
      ids: (node: typeof body.root, at: string) => void (said.ids = body.array(node, at, BATCH, "id", body.cursor)),
    };
    body.object(body.root, "", "an object", readers, "there are device, delivered and ids");
    const { device, delivered, ids } = said;
    if (device === undefined) throw refusal("invalid-parameter", "device is required: who acknowledges", { member: "device" });
    if (!delivered && !ids) throw refusal("invalid-parameter", "delivered or ids is required", { member: "ids" });
    const { cursor, statuses } = criticals.acknowledge(device, who.user, delivered, ids ?? []);
    const spell = ({ epoch, offset }: Position): string => `${epoch}.${offset}`;
    return answerJSON({ device, cursor: spell(cursor), results: statuses.map((status, i) => ({ id: spell(ids![i]!), status })) });
  });

  const ownDevices = known((who) => {
    const own = devices.all().filter(({ user }) => user === who.user);
    return answerJSON({
      devices: own.map(({ name, roles, patterns, types, cursor, created, seen }) => {
        const stream = streams.live().find(({ sub }) => sub.device === name);
        return {
          device: name,
          roles,
          patterns,
          ...(types.length > 0 && { types }),
          cursor: `${cursor.epoch}.${cursor.offset}`,
          created: spellTime(created),
          seen: spellTime(seen),
          connected: stream !== undefined,
          ...(stream && { connection: stream.connection, transport: "sse" }),
        };
      }),
    });
  });

  const forget = known((who, _, rest) => {
    const name = decode(rest);
    const why = deviceFault(name);
    if (why !== undefined) throw refusal("invalid-parameter", why, { member: "device" });
    devices.forget(name, who.grant.admin ? undefined : who.user);
    for (const stream of streams.live()) if (stream.sub.device === name) stream.bye("replaced");
    return { status: 204, headers: { "cache-control": "no-store" }, body: "" };
  });

  const attendance = known((who, request) => {
    const { topic, limit, page } = readParameters(request.query, ["topic", "limit", "page", "ticket"]);
    const why = topic === undefined ? undefined : pathFault(topic);
    if (why !== undefined) throw refusal("invalid-topic", why, { member: "topic" });
    const size = pageSize(limit);
    const [forTopic, after = ""] = page === undefined ? [] : (fromBase64url(page)?.split("\n") ?? []);
    if (page !== undefined && (forTopic !== (topic ?? "") || after === "")) throw invalidParameter("page", "it is none that was given for this topic: begin again without");
    reads(who, "roxy/presence", "topic");
    if (topic !== undefined) reads(who, topic, "topic");
    const behind = presence.users(topic).filter(({ user }) => user > after);
    const users = behind.slice(0, size);
    const next = behind.length > size ? { page: toBase64url(`${topic ?? ""}\n${users.at(-1)!.user}`) } : {};
    return answerJSON({ ...(topic !== undefined && { topic }), users, ...presence.settles(), ...next });
  });

  const stream: Handler = (request) => {
    const who = identify(request);
    const accept = request.headers.get("accept");
    if (accept !== undefined && !acceptsStream(accept)) {
      throw refusal("not-acceptable", `Accept ${JSON.stringify(accept)} leaves out text/event-stream`, { member: "Accept" });
    }
    const opened = streams.open({ ...readSubscription(request.query, request.headers.get("last-event-id")), identity: who });
    const headers = { "content-type": "text/event-stream", "cache-control": "no-store, no-transform", "x-accel-buffering": "no", vary: "Accept-Encoding" };
    return { status: 200, headers, body: "", stream: opened };
  };

  const refresh = known((who, _, rest) => {
    const found = streams.live().find(({ connection }) => connection === decode(rest));
    if (!found || found.sub.identity.user !== who.user) throw refusal("not-found", "no live connection of yours has this id", { member: "connection" });
    if (found.sub.identity.roles.join("\n") !== who.roles.join("\n")) {
      throw refusal("forbidden", "the fresh token's roles differ from the connection's: connect anew", { member: "connection" });
    }
    for (const pattern of found.sub.patterns) reads(who, pattern, "topic");
    found.refresh(who);
    return answerJSON({ connection: found.connection, expires: spellTime(who.expires) });
  });

  const ticket = known((who, request) => {
    if (request.query.some(([name]) => name === "ticket")) throw invalidParameter("ticket", "a ticket does not buy another; send the token");
    const bought = identities.ticket(who);
    return answerJSON({ ticket: bought.ticket, expires: spellTime(bought.expires) });
  });

  const ping: Handler = ({ query }) => {
    const t = query.find(([name]) => name === "t")?.[1] ?? "";
    if (!/^[A-Za-z0-9_.~:+-]{0,64}$/.test(t)) throw invalidParameter("t", "want at most 64 of A-Z a-z 0-9 _ . ~ : + -");
    return answerJSON({ ...(t !== "" && { t }), time: spellTime(wall()) });
  };

  const status = known((who, request) => {
    wantMedia(request, "application/json");
    return answerJSON(mutations.status(who, bodyOf(request)));
  });
  const bulk = known((who, request) => {
    wantMedia(request, "application/json");
    return answerJSON(mutations.bulk(who, bodyOf(request), labels(request)));
  });
  const cancel = known((who, _, rest) => answerJSON(mutations.cancel(who, rest === "" ? "status" : decode(rest))));
  const missing = (what: string): Handler => () => {
    throw refusal("not-supported", `the test hub does not serve ${what}`);
  };

  const get = (answer: Handler): Record<string, Handler> => ({ GET: answer, HEAD: (request, rest) => ({ ...answer(request, rest), body: "" }) });
  const routes: readonly Route[] = [
    { path: /^\/v1\/tickets$/, methods: { POST: ticket } },
    { path: /^\/v1\/sessions\/([^/]+)\/refresh$/, methods: { POST: refresh } },
    { path: /^\/v1\/events$/, methods: { POST: publish } },
    { path: /^\/v1\/events\/([^/]+)\/receipts$/, methods: get(receipts) },
    { path: /^\/v1\/entities$/, methods: get(list) },
    { path: /^\/v1\/entities\/(.*)$/, methods: { ...get(read), PUT: write, PATCH: write, DELETE: write } },
    { path: /^\/v1\/mutations$/, methods: { POST: bulk } },
    { path: /^\/v1\/mutations\/status$/, methods: { POST: status, DELETE: cancel } },
    { path: /^\/v1\/mutations\/([^/]+)$/, methods: { DELETE: cancel } },
    { path: /^\/v1\/presence$/, methods: get(attendance) },
    { path: /^\/v1\/acks$/, methods: { POST: acknowledge } },
    { path: /^\/v1\/devices$/, methods: get(ownDevices) },
    { path: /^\/v1\/devices\/([^/]+)$/, methods: { DELETE: forget } },
    { path: /^\/v1\/stream$/, methods: { GET: stream } },
    { path: /^\/v1\/ws$/, methods: { GET: missing("WebSockets") } },
    { path: /^\/v1\/ping$/, methods: get(ping) },
    { path: /^\/v1\/sdk\.js$/, methods: { GET: missing("the SDK") } },
    { path: /^\/v1\/(?:openapi|asyncapi)\.json$/, methods: { GET: missing("descriptions of itself") } },
    { path: /^\/v1\/admin\//, methods: { GET: missing("the calls of administrators"), POST: missing("the calls of administrators"), DELETE: missing("the calls of administrators") } },
  ];

  const answer = (request: Request): Answered => {
    const { method, path } = request;
    if (path.includes("//")) {
      if (path.startsWith("/v1/entities/")) throw refusal("invalid-topic", "the path holds an empty segment, which no topic has", { member: "topic" });
      throw refusal("not-found", "the path holds an empty segment");
    }
    for (const { path: pattern, methods } of routes) {
      const found = pattern.exec(path);
      if (!found) continue;
      if (Object.hasOwn(methods, method)) return methods[method]!(request, found[1] ?? "");
      const allow = [...Object.keys(methods), "OPTIONS"].join(", ");
      if (method === "OPTIONS") return { status: 204, headers: { allow }, body: "" };
      const problem = answerProblem(refusal("method-not-allowed", `${method} is not one of ${allow}`), false);
      return { ...problem, headers: { ...problem.headers, allow } };
    }
    throw refusal("not-found", "nothing is served at this path; the public listener serves /v1/…");
  };

  return (request) => {
    try {
      return answer(request);
    } catch (error) {
      if (error instanceof RoxyProblem) return answerProblem(error, request.headers.has("authorization"));
      throw error;
    }
  };
}

/** Whether an Accept header lets the answer be an event stream: the most specific range that fits decides (RFC 9110 §12.5.1). */
function acceptsStream(accept: string): boolean {
  const ranges = accept.split(",").map((range) => {
    const [media, ...parameters] = range.toLowerCase().split(";").map((part) => part.trim());
    const q = parameters.find((parameter) => parameter.startsWith("q="));
    return { rank: ["*/*", "text/*", "text/event-stream"].indexOf(media!), wanted: q === undefined || Number(q.slice(2)) > 0 };
  });
  const best = ranges.reduce((found, range) => (range.rank >= found.rank ? range : found), { rank: -1, wanted: false });
  return best.rank >= 0 && best.wanted;
}

/** Decodes a segment of a path. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw refusal("not-found", "the path is not percent-encoded as it should be");
  }
}

function topicOf(rest: string): string {
  const topic = decode(rest);
  const why = pathFault(topic);
  if (why !== undefined) throw refusal("invalid-topic", why, { member: "topic" });
  return topic;
}

function pageSize(limit: string | undefined): number {
  if (limit === undefined) return 100;
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > 1_000) throw invalidParameter("limit", `${JSON.stringify(limit)}: want 1 to 1000`);
  return Number(limit);
}

/** Makes the refusal of a write name the header, or the part of the body, at fault. */
function byHeaders({ headers }: Request, error: unknown): unknown {
  if (!(error instanceof RoxyProblem)) return error;
  const [first, ...inner] = String(error.members["member"] ?? "").split(".");
  const guards = ["If-Match", "If-None-Match", "Roxy-Base"].filter((name) => headers.has(name.toLowerCase()));
  const renamed: Readonly<Record<string, string | undefined>> = {
    data: inner.join("."),
    patch: inner.join("."),
    id: "Idempotency-Key",
    device: "Roxy-Device",
    seq: "Roxy-Seq",
    type: "Roxy-Type",
    correlation: "Roxy-Correlation",
    base: guards.at(-1),
  };
  const member = Object.hasOwn(renamed, first!) ? renamed[first!] : undefined;
  return altered(error, { ...(member !== undefined && { member }), ...(error.code === "version-conflict" && { status: 412 }) });
}

