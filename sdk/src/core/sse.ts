import { parsed, problemOf, RoxyProblem, unreachable } from "./problem.ts";
import { streamQuery, type Block, type Sink, type StreamRequest, type Transport } from "./transport.ts";

/** Bounds one event as it comes, in characters; a hub accepts 64 KiB unless its configuration says otherwise. */
const LARGEST = 4 << 20;

/** Server-sent events over fetch: the whole of docs/protocol.md §4, with headers, and the first choice. */
export const sse: Transport = {
  name: "sse",
  usable: (platform) => !!platform.fetch,
  open(request, sink) {
    const abort = request.platform.abort();
    follow(request, sink, abort.signal).catch((error: unknown) => sink.ended({ problem: unreachable(error) }));
    return { close: () => abort.abort() };
  },
};

async function follow(request: StreamRequest, sink: Sink, signal: unknown): Promise<void> {
  const { after, platform, credentials } = request;
  const headers: Record<string, string> = { ...request.headers, Accept: "text/event-stream" };
  const earliest = after === "earliest";
  if (after && !earliest) headers["Last-Event-ID"] = after;
  const url = `${request.url}/v1/stream?${streamQuery(request, earliest ? { after } : {})}`;
  const answer = await platform.fetch!(url, { method: "GET", headers, signal, credentials, cache: "no-store" });
  const { status, body } = answer;
  if (status === 204) return sink.ended({ away: true });
  if (status !== 200) return sink.ended({ problem: problemOf(status, await answer.text(), answer.headers.get("Retry-After")) });
  if (!/^text\/event-stream\b/i.test(answer.headers.get("Content-Type") ?? "") || !body) {
    // A login page of a hotel's network, or an app's index.html at the wrong URL: 406 takes another transport.
    return sink.ended({ problem: new RoxyProblem("not-acceptable", 406, "no event stream") });
  }
  sink.opened();
  const reader = body.getReader();
  const decoder = platform.decoder();
  const parse = createReader(sink);
  for (;;) {
    // A cut of an open stream is no refusal: it has no problem.
    const { value } = await reader.read().catch(() => ({ value: undefined }));
    if (!value) return sink.ended({});
    sink.alive();
    parse(decoder.decode(value, { stream: true }));
  }
}

/**
 * Returns what takes a stream's text as it comes, decoded and without its BOM, and tells the blocks of each piece at once.
 * The framing is https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream; an id without an
 * event is a block of its own, because it moves the cursor.
 */
export function createReader(sink: Sink): (text: string) => void {
  let blocks: Block[] = [];
  let garbled: string | undefined;
  let rest = ""; // of a line that has not ended
  let cr = false; // the text ended with a CR, of which the LF may still come
  let id: string | undefined;
  let event = "";
  let data: string | undefined;

  const take = (line: string): void => {
    if (line === "") {
      const value = data === undefined ? null : parsed(data);
      if (value === undefined) garbled = `the data of ${event || "message"} is not JSON`;
      else if (data !== undefined) blocks.push({ event: event || "message", id, data: value });
      else if (id !== undefined) blocks.push({ event: "roxy:id", id, data: null });
      id = data = undefined;
      event = "";
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
    if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") event = value!;
    else if (field === "id" && !value!.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value!)) sink.retry(Number(value));
  };

  return (text) => {
    if (garbled || !text) return;
    const lines = (cr && text.startsWith("\n") ? text.slice(1) : text).split(/\r\n|\r|\n/);
    cr = text.endsWith("\r");
    // A line in many pieces is only joined, never looked through again: the time it takes stays linear.
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!;
    for (const line of lines) if (!garbled) take(line);
    if (rest.length + (data ?? "").length > LARGEST) garbled ??= `an event has more than ${LARGEST} characters`;
    const all = blocks;
    blocks = [];
    if (all.length > 0) sink.blocks(all);
    if (garbled) sink.ended({ garbled });
  };
}
