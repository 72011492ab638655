/** Has a Web Lock until signal aborts; got is called when it does, and where a frame may not have locks: it is on its own. */
export function hold(locks: LockManager, name: string, signal: AbortSignal, got: () => void): void {
  const held = (): Promise<unknown> => {
    got();
    return new Promise((release) => signal.addEventListener("abort", release));
  };
  locks.request(name, { signal }, held).catch(() => signal.aborted || got());
}
