// The name of this window among those in which the same person works: the hub has one live stream for a device, and an
// IndexedDB of changes that wait has one window that sends them.

/** How many windows of one person in one browser have a name of their own. */
const SLOTS = 8;

/** Returns the first number from 1 that no other window of this browser holds, and holds it until the page ends. */
export async function takeSlot(name: string): Promise<number> {
  for (let slot = 1; slot <= SLOTS; slot++) {
    if (await hold(`${name}:${slot}`)) return slot;
  }
  throw new Error(`${SLOTS} windows of ${name} are open already: close one`);
}

function hold(name: string): Promise<boolean> {
  return new Promise((taken, failed) => {
    const request = navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      taken(lock !== null);
      return lock === null ? undefined : new Promise<never>(() => {}); // until the page ends
    });
    request.catch(failed);
  });
}

/** Returns a name of this browser that no other has: six letters, kept for good. */
export function browserName(): string {
  const key = "bar:browser";
  const kept = localStorage.getItem(key);
  if (kept !== null) return kept;
  const made = crypto.randomUUID().slice(0, 6);
  localStorage.setItem(key, made);
  return made;
}
