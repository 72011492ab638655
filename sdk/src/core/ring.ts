import type { Clock } from "./clock.ts";

/** Something that happened: a transition, an attempt, an event. */
export interface Note {
  /** By the client's clock, in milliseconds. */
  readonly at: number;
  readonly kind: string;
  readonly detail?: string | undefined;
}

const KEPT = 500;

/** Keeps the last notes. */
export function createRing(clock: Clock): { note(kind: string, detail?: string): void; notes(): readonly Note[] } {
  const notes: Note[] = [];
  return {
    note(kind, detail) {
      notes.push({ at: clock.now(), kind, detail });
      if (notes.length > KEPT) notes.shift();
    },
    notes: () => [...notes],
  };
}
