/**
 * Returns what makes UUIDs of version 7 (RFC 9562 §5.7) of hex, which gives so many bytes that nobody can guess. Nothing relies on
 * the time in them: it only keeps ids of one day near each other in the hub's tables, so a wrong clock does no harm.
 */
export function uuidsV7(time: () => number, hex: (bytes: number) => string): () => string {
  return () => {
    const ms = Math.max(0, Math.floor(time())).toString(16).padStart(12, "0").slice(-12);
    const random = hex(10);
    const variant = "89ab"[parseInt(random.charAt(3), 16) & 3];
    return `${ms.slice(0, 8)}-${ms.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`;
  };
}
