import { ask, garbled, parsed, problemFrom, unreachable } from "./problem.ts";
import { streamQuery, type Block, type End, type Sink, type Transport } from "./transport.ts";

/** Bounds one event as it comes, in characters; a hub accepts 64 KiB unless its configuration says otherwise. */
const LARGEST = 4 << 20;

/** Server-sent events over fetch: the whole of docs/protocol.md §4, with headers, and the first choice. */
export const sse: Transport = {
  name: "sse",
  usable: (platform) => !!platform.fetch,
  open(request, sink) {
    const { platform, url, credentials } = request;
    const abort = platform.abort();
    const follow = async (): Promise<End> => {
      const headers = { ...request.headers, Accept: "text/event-stream" };
      const answer = await ask(platform, `${url}/v1/stream?${streamQuery(request)}`, { method: "GET", headers, signal: abort.signal, credentials });
      const { status, body } = answer;
      // A login page of a hotel's network, or an app's index.html at the wrong URL: 406 takes another transport.
      const streams = /^text\/event-stream\b/i.test(String(answer.headers.get("Content-Type")));
      if (!body || !streams) throw problemFrom({}, status === 200 ? 406 : status);
      sink.alive();
      const reader = body.getReader();
      const decoder = platform.decoder();
      const parse = createReader(sink);
      for (;;) {
        // A cut of an open stream is no refusal: it has no problem.
        const { value } = await reader.read().catch((): { value?: undefined } => ({}));
        if (!value) return {};
        sink.alive();
        parse(decoder.decode(value, { stream: true }));
      }
    };
    void follow()
      .catch((error: unknown) => ({ problem: unreachable(error) }))
      .then(sink.ended);
    return { close: () => abort.abort() };
  },
};

/**
 * Returns what takes a stream's text as it comes, decoded and without its BOM, and tells the blocks of each piece at once.
 * The framing is https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream; an id without an
 * event is a block of its own, because it moves the cursor. What it throws is what ends the stream.
 */
export function createReader(sink: Sink): (text: string) => void {
  let rest = ""; // of a line that has not ended
  let cr = false; // the text ended with a CR, of which the LF may still come
  let block: { event?: string; id?: string; data?: string } = {};

  /** Takes a line. Returns the block that it ends. */
  const take = (line: string): Block | undefined => {
    const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line)!;
    const { event = "message", id, data } = block;
    if (field === "data") block.data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") block.event = value || "message";
    else if (field === "id" && !value.includes("\0")) block.id = value;
    if (line) return undefined;
    block = {};
    if (data === undefined) return id === undefined ? undefined : { event: "roxy:id", id, data: null };
    const read = parsed(data);
    if (read === undefined) throw garbled(`${event} is not JSON`);
    return { event, id, data: read };
  };

  return (text) => {
    if (!text) return;
    const lines = (cr && text.startsWith("\n") ? text.slice(1) : text).split(/\r\n|\r|\n/);
    cr = text.endsWith("\r");
    // A line in many pieces is only joined, never looked through again: the time it takes stays linear.
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!;
    const blocks: Block[] = [];
    try {
      for (const line of lines) {
        const block = take(line);
        if (block) blocks.push(block);
      }
      if (rest.length + (block.data ?? "").length > LARGEST) throw garbled("too many characters");
    } finally {
      if (blocks.length > 0) sink.blocks(blocks);
    }
  };
}
