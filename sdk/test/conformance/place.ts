import { onTestFinished } from "vitest";
import type { Grant } from "../../src/testing.ts";

/** A hub as a case sees it: the real one and the one in memory look the same. */
export interface Place {
  readonly url: string;
  fetch(url: string, init: { method: string; headers: Record<string, string>; body?: string; signal: AbortSignal }): Promise<Received>;
  token(who: Who): string;
  restart(): Promise<void>;
}

interface Received {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } } | null;
  text(): Promise<string>;
}

/** Who asks. `expires` is in seconds from now. */
export interface Who {
  readonly sub: string;
  readonly roles: readonly string[];
  readonly expires?: number;
  readonly roxy?: Grant;
}

/** Who may do everything, unless a case says otherwise. */
export const ANN: Who = { sub: "ann", roles: ["everything"] };
export const BOB: Who = { sub: "bob", roles: ["everything"] };

export interface Given {
  /** Null sends no token. */
  readonly as?: Who | string | null;
  /** Sent as JSON, unless it is text. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: any; // whatever the hub said
}

/** One event of a stream, as it was spelled. */
export interface Heard {
  readonly id?: string;
  readonly retry?: number;
  readonly event: string;
  readonly data: any; // whatever the hub said
}

export interface Listening {
  readonly answer: Answer;
  /** Waits for an event, by its name or by what it is, and returns all that came until then. */
  until(what: string | ((heard: Heard) => boolean)): Promise<readonly Heard[]>;
  /** Waits for the end, and returns what came until then. */
  end(): Promise<readonly Heard[]>;
  close(): void;
}

/** What a case does at a place. All of it is written down: two places that do the same write the same. */
export interface Talk {
  call(method: string, path: string, given?: Given): Promise<Answer>;
  /** Calls until the answer is as it is to be in the end, and writes that down alone. */
  eventually(method: string, path: string, given: Given, holds: (answer: Answer) => boolean): Promise<Answer>;
  /** Opens a stream; query is behind the question mark. */
  stream(query: string, given?: Given): Promise<Listening>;
  token(who: Who): string;
  /** Has the hub restart, as after a power cut. */
  restart(): Promise<void>;
}

export interface Case {
  readonly name: string;
  run(talk: Talk): Promise<void>;
}

/** The headers that say something about the hub; the others are the network's. */
const HEADERS = ["content-type", "cache-control", "x-content-type-options", "x-accel-buffering", "allow", "etag", "www-authenticate"];

/** Returns the way to talk to a place, and what was said. */
export function talkTo(place: Place): { talk: Talk; transcript: unknown[] } {
  const transcript: unknown[] = [];
  const note = <Value>(what: string, value: Value): Value => {
    transcript.push({ what: what.replaceAll(/(?<=ticket=|page=|sessions\/|after=|events\/(?=[^/]+\/receipts))[^&/]+/g, "…"), value: normal(value) }); // a hub made those
    return value;
  };
  const tokens = new Map<Who, string>();
  const token = (who: Who): string => {
    const made = tokens.get(who) ?? place.token(who);
    tokens.set(who, made);
    return made;
  };

  const send = async (method: string, path: string, { as = ANN, body, headers }: Given, accept: Record<string, string>, signal: AbortSignal): Promise<Received> => {
    const given: Record<string, string> = { ...accept };
    if (as !== null) given["Authorization"] = `Bearer ${typeof as === "string" ? as : token(as)}`;
    if (body !== undefined) given["Content-Type"] = "application/json";
    const text = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
    return place.fetch(place.url + path, { method, headers: { ...given, ...headers }, ...text, signal });
  };

  const answerOf = async (received: Received, streams: boolean): Promise<Answer> => {
    const headers: Record<string, string> = {};
    for (const name of HEADERS) {
      const value = received.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    if (received.headers.get("retry-after") !== null) headers["retry-after"] = "<seconds>";
    const text = streams ? "" : await received.text();
    return { status: received.status, headers, body: text === "" ? undefined : JSON.parse(text) };
  };

  const ask = async (method: string, path: string, given: Given): Promise<Answer> =>
    answerOf(await send(method, path, given, {}, new AbortController().signal), false);

  return {
    transcript,
    talk: {
      token,
      restart: () => place.restart(),
      call: async (method, path, given = {}) => note(`${method} ${path}`, await ask(method, path, given)),
      async eventually(method, path, given, holds) {
        for (;;) {
          const answer = await ask(method, path, given);
          if (holds(answer)) return note(`${method} ${path}`, answer);
          await new Promise((soon) => setTimeout(soon, 10));
        }
      },
      async stream(query, given = {}) {
        const abort = new AbortController();
        onTestFinished(() => abort.abort());
        const received = await send("GET", `/v1/stream?${query}`, given, { Accept: "text/event-stream" }, abort.signal);
        const answer = note(`GET /v1/stream?${query}`, await answerOf(received, received.status === 200));
        const reader = received.status === 200 ? received.body?.getReader() : undefined;
        return listening(answer, reader, (events) => note(`heard of ${query}`, events), () => abort.abort());
      },
    },
  };
}

type Reader = ReturnType<NonNullable<Received["body"]>["getReader"]>;

function listening(answer: Answer, reader: Reader | undefined, note: (events: readonly Heard[]) => void, close: () => void): Listening {
  const decoder = new TextDecoder();
  let text = "";
  const next = async (): Promise<Heard | undefined> => {
    while (!text.includes("\n\n")) {
      const { done, value } = (await reader?.read().catch(() => undefined)) ?? { done: true }; // a cut is an end, too
      if (done || !value) return undefined;
      text += decoder.decode(value, { stream: true });
    }
    const end = text.indexOf("\n\n");
    const block = text.slice(0, end);
    text = text.slice(end + 2);
    return spelled(block);
  };
  const take = async (over: (heard: Heard) => boolean): Promise<[readonly Heard[], boolean]> => {
    const all: Heard[] = [];
    for (;;) {
      const heard = await next();
      if (!heard) return [all, false];
      all.push(heard);
      if (over(heard)) return [all, true];
    }
  };
  return {
    answer,
    async until(what) {
      const [all, found] = await take(typeof what === "string" ? ({ event }) => event === what : what);
      note(all);
      if (!found) throw new Error(`the stream ended before ${String(what)}: ${JSON.stringify(all)}`);
      return all;
    },
    async end() {
      const [all] = await take(() => false);
      note(all);
      return all;
    },
    close,
  };
}

/** Reads a block as the hub spells it: id, retry, event and data, in this order, each on one line. */
function spelled(block: string): Heard {
  const parts = /^(?:id: (?<id>[^\n]*)\n)?(?:retry: (?<retry>\d+)\n)?(?:event: (?<event>[^\n]*)\n)?data: (?<data>[^\n]*)$/.exec(block)?.groups;
  if (!parts) throw new Error(`not spelled as an event: ${JSON.stringify(block)}`);
  const { id, retry, event = "message", data } = parts;
  return { ...(id !== undefined && { id }), ...(retry !== undefined && { retry: Number(retry) }), event, data: JSON.parse(data!) as unknown };
}

const NAMED = ["connection", "view", "ticket", "epoch", "page", "retry", "retryAfter", "detail"];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

/** Returns value with what differs between two hubs that do the same by a word: times, epochs, ids that a hub makes, what it says to people. */
export function normal(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => normal(item));
    return name === "present" ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items; // its order means nothing
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([key, inner]) => inner !== undefined && key !== "settles"); // it depends on when the hub began
    return Object.fromEntries(members.map(([key, inner]) => [key, normal(inner, key)]));
  }
  if (NAMED.includes(name) && value !== "") return `<${name}>`;
  if (typeof value !== "string") return value;
  if (TIME.test(value)) return "<time>";
  return value.replace(/^(?!anotherlife)[a-z0-9]{1,32}\.(\d+)$/, "<epoch>.$1");
}
