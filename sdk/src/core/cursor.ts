/** A position in one life of the log (docs/protocol.md §1). */
export interface Cursor {
  readonly epoch: string;
  readonly offset: number;
  /** As it goes over the wire. */
  readonly text: string;
}

/** Returns the cursor that text spells; undefined for what spells none. */
export function parseCursor(text: unknown): Cursor | undefined {
  const parts = /^([^.]+)\.(\d{1,15})$/.exec(String(text));
  return parts ? { epoch: parts[1]!, offset: +parts[2]!, text: parts[0] } : undefined;
}

/** Reports whether a cursor tells more than another one: it is ahead, or of another life. */
export function beyond(cursor: Cursor | undefined, than: Cursor | undefined): boolean {
  return !!cursor && (cursor.epoch !== than?.epoch || cursor.offset > than.offset);
}
