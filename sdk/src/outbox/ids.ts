/** Fills an array with random bytes: globalThis.crypto.getRandomValues. */
export type RandomBytes = (bytes: Uint8Array) => unknown;

/**
 * Returns what makes UUIDs of version 7 (RFC 9562 §5.7). Nothing relies on the time in them: it only keeps ids of one day near
 * each other in the hub's tables, so a wrong clock does no harm.
 */
export function uuidsV7(time: () => number, random: RandomBytes): () => string {
  return () => {
    const bytes = new Uint8Array(16);
    random(bytes);
    let ms = Math.max(0, Math.floor(time()));
    for (let i = 5; i >= 0; i--) {
      bytes[i] = ms % 256;
      ms = Math.floor(ms / 256);
    }
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
}
