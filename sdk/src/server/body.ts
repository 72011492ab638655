import { RoxyProblem } from "../core/problem.ts";

/** Reads the body of a request that nobody has vouched for yet: more than largest bytes are a problem `too-large`. */
export async function bodyOf(request: Request, largest: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  const reader = request.body?.getReader();
  for (let size = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > largest) {
      await reader.cancel();
      throw new RoxyProblem("too-large", 413, `body: more than ${largest} bytes`, 0, { member: "body" });
    }
    parts.push(value);
  }
  return concat(parts);
}

/** Returns all parts as one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
