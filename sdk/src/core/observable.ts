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

/** Runs a handler at once. What it throws, or its promise, is reported; the answer tells whether it bore it, and is never rejected. */
export type Run = (handler: () => unknown) => Promise<boolean>;

export function createRun(report: (error: unknown) => void): Run {
  return async (handler) => {
    try {
      await handler();
      return true;
    } catch (error) {
      report(error);
      return false;
    }
  };
}

/** Listeners that may come and go, and throw, while they are called. */
export interface Listeners<Args extends unknown[]> {
  /** Each add is its own: the same function added twice is called twice, and to remove one of them again is harmless. */
  add(listener: (...args: Args) => unknown): () => void;
  call(...args: Args): Promise<boolean>[];
}

export function createListeners<Args extends unknown[]>(run: Run): Listeners<Args> {
  const all = new Set<{ listener: (...args: Args) => unknown }>();
  return {
    add(listener) {
      const entry = { listener };
      all.add(entry);
      return () => void all.delete(entry);
    },
    call: (...args) => [...all].map(({ listener }) => run(() => listener(...args))),
  };
}

/** Returns an Observable that holds value first. */
export function createObservable<Value>(value: Value, run: Run): Settable<Value> {
  const listeners = createListeners<[]>(run);
  return {
    get: () => value,
    subscribe: listeners.add,
    set(next) {
      if (next === value) return;
      value = next;
      listeners.call();
    },
  };
}
