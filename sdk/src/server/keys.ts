/**
 * What makes one event or change out of a repeated call. A call without it is repeated safely within itself; but a handler that a
 * queue or a payment provider calls again, or a server action that a person sends again, is another call with the same work.
 */
export interface WorkOptions {
  /**
   * Names the work that the call is part of, such as the id of the message that a queue delivers. What one work publishes, or
   * changes, of the same type on the same topic at the same place of a call has the same idempotency key, for 24 h: the repetition
   * answers `duplicate: true`, and one that says something else is refused as `key-reused`.
   */
  readonly work?: string;
}

/** What one key is for. */
interface Keyed {
  readonly topic: string;
  readonly type?: string;
  readonly op?: string;
  readonly id?: string;
  readonly ephemeral?: boolean;
}

/**
 * Gives each of all that has no `id` one: made of the work, or else by chance, so that no repetition of the request doubles it.
 * Ephemeral events have none, for the hub keeps none.
 */
export function keyed<T extends Keyed>(all: readonly T[], work: string | undefined): Promise<T[]> {
  return Promise.all(
    all.map(async (one, place) => {
      if (one.id !== undefined || one.ephemeral) return one;
      return { ...one, id: work === undefined ? crypto.randomUUID() : await keyOf([work, one.op ?? "publish", one.type ?? "", one.topic, place]) };
    }),
  );
}

/** Returns a key that is the same for the same parts: hashed, because keys end at 128 bytes and a work's name may be long. */
async function keyOf(parts: readonly (string | number)[]): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(parts)));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
