import type { Observable } from "@roxy/sdk/store";

/** A value that changes, for useSyncExternalStore, and the way to set it. */
export interface Settable<Value> extends Observable<Value> {
  set(value: Value): void;
}

/** Returns a Settable that holds value first. */
export function createSignal<Value>(value: Value): Settable<Value> {
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    subscribe(listener) {
      const own = (): void => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
  };
}
