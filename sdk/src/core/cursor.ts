/** A position in one life of the log, as it goes over the wire: an epoch and an offset (docs/protocol.md §1). */
export type Cursor = string;

const partsOf = (text: unknown): readonly string[] => /^([^.]+)\.(\d{1,15})$/.exec(String(text)) ?? [];

/** Returns the cursor that text spells; undefined for what spells none. */
export function parseCursor(text: unknown): Cursor | undefined {
  return partsOf(text)[0];
}

/** Reports whether a cursor tells more than another one: it is ahead, or of another life. */
export function beyond(cursor: Cursor | null | undefined, than: Cursor | undefined): boolean {
  const [, epoch, offset] = partsOf(cursor);
  const [, other, least] = partsOf(than);
  return !!epoch && (epoch !== other || +offset! > +least!);
}
