import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Observable } from "@roxy/sdk/store";

/** The value of an Observable. */
export function useObservable<Value>({ subscribe, get }: Observable<Value>): Value {
  return useSyncExternalStore(subscribe, get);
}

/** The time, often enough to show minutes. */
export function useNow(every = 10_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** Whether something has been so for a while: what is shorter would only flicker. */
export function useLasting(so: boolean, ms: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLasting(so), so ? ms : 0);
    return () => clearTimeout(timer);
  }, [so, ms]);
  return so && lasting;
}

function hash(): string {
  return location.hash.slice(1);
}

function onHash(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

/** The screen that the address names, and the way to another one: the browser's back button leads back. */
export function useRoute(): readonly [string, (to: string) => void] {
  const route = useSyncExternalStore(onHash, hash);
  return [route, (to) => void (location.hash = to)];
}

/** What is new in a list since the last render, by id; nothing of the first list is. */
export function useNew<Item>(items: readonly Item[], id: (item: Item) => string, ready: boolean, tell: (items: readonly Item[]) => void): void {
  const seen = useRef<Set<string> | undefined>(undefined);
  useEffect(() => {
    if (!ready) return;
    const before = seen.current;
    seen.current = new Set([...(before ?? []), ...items.map(id)]);
    const fresh = before ? items.filter((item) => !before.has(id(item))) : [];
    if (fresh.length > 0) tell(fresh);
  });
}
