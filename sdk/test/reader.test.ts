import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { expect, test } from "vitest";
import { garbled, type RoxyProblem } from "../src/core/problem.ts";
import { createReader } from "../src/core/sse.ts";
import { createTaker } from "../src/core/take.ts";
import type { Block, End, Sink } from "../src/core/transport.ts";

/** What a reader makes of a stream that comes in these pieces. */
function read(pieces: readonly string[]): { blocks: Block[]; end: End | undefined } {
  const blocks: Block[] = [];
  let end: End | undefined;
  const sink: Sink = { alive() {}, blocks: (all) => blocks.push(...all), ended: (how) => (end ??= how) };
  const parse = createReader(sink);
  try {
    pieces.forEach(parse);
  } catch (problem) {
    end = { problem: problem as RoxyProblem };
  }
  return { blocks, end };
}

test("an id alone moves the cursor, and an event without one has none", () => {
  const stream = 'retry: 1200\nevent: roxy:hello\ndata: {"a":1}\n\nid: e.7\n\nid: e.8\nevent: x\ndata: 1\n\nevent: y\ndata: 2\n\n: comment\n\nid: e.9\nevent: roxy:heartbeat\ndata: {}\n\n';
  const want = {
    blocks: [
      { event: "roxy:hello", data: { a: 1 } },
      { event: "roxy:id", id: "e.7", data: null },
      { event: "x", id: "e.8", data: 1 },
      { event: "y", data: 2 },
      { event: "roxy:heartbeat", id: "e.9", data: {} },
    ],
    end: undefined,
  };
  expect(read([stream])).toEqual(want);
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 30 }), fc.constantFrom("\n", "\r\n", "\r"), (cuts, newline) => {
      const text = stream.replaceAll("\n", newline);
      const at = [0, ...cuts.sort((a, b) => a - b), text.length];
      expect(read(at.slice(1).map((end, i) => text.slice(at[i], end)))).toEqual(want);
    }),
  );
});

/** What eventsource-parser makes of a stream's bytes that come in these pieces. */
function reference(pieces: readonly Uint8Array[]): ReturnType<typeof read> {
  const told: ReturnType<typeof read> = { blocks: [], end: undefined };
  let alone: string | undefined; // an id that no event came with, so far
  const flush = (): void => {
    if (alone !== undefined && !told.end) told.blocks.push({ event: "roxy:id", id: alone, data: null });
    alone = undefined;
  };
  const parser = createParser({
    onId(id) {
      flush();
      alone = id;
    },
    onEvent({ event = "message", id, data }) {
      if (id === undefined) flush();
      alone = undefined;
      if (told.end) return;
      try {
        told.blocks.push({ event, id, data: JSON.parse(data) });
      } catch {
        told.end = { problem: garbled(`${event} is not JSON`) };
      }
    },
  });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // the parser takes the BOM away itself
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }));
  flush();
  return told;
}

test("bytes in any pieces are read as eventsource-parser reads them", () => {
  const field = fc.constantFrom("data", "event", "id", "retry", "dat", "data ", "Data", "ids", "");
  const value = fc.oneof(
    fc.constantFrom("1", "", " ", '"é"', "{}", "0", "1500", "+5", "1e3", "x", "roxy:hello", "e.1", "e\0f", ":", "a:b", "\u2028", "\ufeff"),
    fc.string({ unit: "binary", maxLength: 6 }),
  );
  const line = fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom("", "data: 1", "data:1", 'data: "é\u2028🍺"', "id: e.7", "event: x") },
    { weight: 2, arbitrary: fc.tuple(field, fc.constantFrom(":", ": ", ":  ", ""), value).map((parts) => parts.join("")) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  );
  const text = fc
    .tuple(fc.constantFrom("", "\ufeff", "\ufeff\ufeff"), fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r", "\n\n", "\r\r", "\r\n\r\n")), { maxLength: 24 }), line)
    .map(([bom, lines, rest]) => bom + lines.flat().join("") + rest)
    .filter((whole) => !/^\u00ef(\u00bb|$)/.test(whole)); // which the parser takes for a BOM that was not decoded
  fc.assert(
    fc.property(text, fc.array(fc.nat(400), { maxLength: 60 }), (whole, cuts) => {
      const bytes = new TextEncoder().encode(whole);
      const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
      const pieces = at.slice(1).map((end, i) => bytes.slice(at[i], end));
      const decoder = new TextDecoder();
      expect(read(pieces.map((piece) => decoder.decode(piece, { stream: true })))).toEqual(reference(pieces));
    }),
    { numRuns: 1_000 },
  );
});

test("an event without an end is not kept beyond its bound", () => {
  const piece = "x".repeat(1 << 20);
  expect(read(["data: 1\n\ndata: ", piece, piece, piece, "\ndata: "]).end).toBeUndefined();
  const { blocks, end } = read(["data: 1\n\ndata: ", piece, piece, "\ndata: ", piece, piece, "\n\ndata: 2\n\n"]);
  expect(end?.problem?.message).toContain("characters");
  expect(blocks).toEqual([{ event: "message", data: 1 }]);
});

test("data that is not JSON ends the stream, and nothing behind it is told", () => {
  const { blocks, end } = read(["id: e.1\ndata: 1\n\nid: e.2\ndata: {\n\nid: e.3\ndata: 3\n\n"]);
  expect(blocks).toEqual([{ event: "message", id: "e.1", data: 1 }]);
  expect(end?.problem?.message).toContain("not JSON");
});

test("whatever a stream holds, reading and taking it never throws", () => {
  const line = fc.oneof(
    fc.constantFrom("event: roxy:hello", "event: roxy:reset", "event: roxy:live", "event: roxy:bye", "event: roxy:entity", "event: x", "id: e.1", "id: f.2", "id: e.x", "data: {}", "data: null", 'data: {"topic":"a"}', 'data: {"cursor":"e.1"}', "retry: 5", ""),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), fc.boolean(), (lines, snapshot) => {
      const taker = createTaker(snapshot);
      taker.take(read([lines.join("\n") + "\n\n"]).blocks);
    }),
    { numRuns: 500 },
  );
});

test("an event is taken once, however often streams bring it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 100 }), (offsets) => {
      const taker = createTaker(false);
      const taken = offsets.flatMap((n) => taker.take([{ event: "x", id: `e.${n}`, data: { topic: "a" } }]).messages);
      const cursors = taken.map((message) => Number((message as { cursor: string }).cursor.slice(2)));
      expect(cursors).toEqual([...new Set(cursors)].sort((a, b) => a - b));
      expect(taker.position()).toBe(offsets[0] && `e.${Math.max(...offsets)}`);
    }),
  );
});

test("another life of the log without a reset is no stream to go on with", () => {
  const taker = createTaker(false);
  taker.take([{ event: "x", id: "e.5", data: { topic: "a" } }]);
  expect(taker.take([{ event: "x", id: "f.6", data: { topic: "a" } }]).problem?.message).toContain("without a reset");
});

test("a hello moves no position that is known, so that a reset behind it is heard of again", () => {
  const taker = createTaker(false);
  const hello = { connection: "c", cursor: "e.9", view: "v", epoch: "e", heartbeat: "15s", time: "2026-01-01T00:00:00Z" };
  taker.take([{ event: "roxy:hello", id: "e.5", data: hello }]);
  expect(taker.position()).toBe("e.5");
  taker.take([{ event: "roxy:hello", id: "e.9", data: hello }]);
  expect(taker.position()).toBe("e.5");
  expect(taker.take([{ event: "roxy:hello", data: { ...hello, view: "w" } }]).messages).toEqual([{ kind: "reset", reason: "view", cursor: "e.5" }]);
});
