/** A value that changes, in the shape that useSyncExternalStore takes: get returns the same object until something changed. */
export interface Observable<Value> {
  get(): Value;
  /** Calls listener after each change, until the function it returns is called. */
  subscribe(listener: () => void): () => void;
}

/** An Observable and the way to set it. */
export interface Settable<Value> extends Observable<Value> {
  set(value: Value): void;
}

/** Listeners that may come and go, and throw, while they are called. */
export interface Listeners<Args extends unknown[]> {
  add(listener: (...args: Args) => unknown): () => void;
  call(...args: Args): unknown[];
  size(): number;
}

/** Each add is its own: the same function added twice is called twice, and to remove one of them again is harmless. */
export function createListeners<Args extends unknown[]>(report: (error: unknown) => void): Listeners<Args> {
  const all = new Set<{ listener: (...args: Args) => unknown }>();
  return {
    add(listener) {
      const entry = { listener };
      all.add(entry);
      return () => void all.delete(entry);
    },
    call: (...args) =>
      [...all].map(({ listener }) => {
        try {
          return listener(...args);
        } catch (error) {
          report(error);
          return undefined;
        }
      }),
    size: () => all.size,
  };
}

/** Returns an Observable that holds value first. */
export function createObservable<Value>(value: Value, report: (error: unknown) => void): Settable<Value> {
  const listeners = createListeners<[]>(report);
  return {
    get: () => value,
    subscribe: (listener) => listeners.add(listener),
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      listeners.call();
    },
  };
}
