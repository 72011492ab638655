// The page's network, with a switch: what the OFFLINE button cuts is every call and every stream that the page has.
import { globalPlatform, type Platform, type Signal } from "@roxy/sdk";

/** A platform whose network can be cut. */
export interface Network {
  readonly platform: Platform;
  /** Cuts what is open and refuses what is new, until mend. */
  cut(): void;
  mend(): void;
  readonly isCut: () => boolean;
  subscribe(listener: () => void): () => void;
}

type Fetch = NonNullable<Platform["fetch"]>;

/** Returns the browser's own network, not cut. */
export function createNetwork(base: Platform = globalPlatform()): Network {
  let off = false;
  const open = new Set<() => void>();
  const listeners = new Set<() => void>();
  const watchers = new Set<(signal: Signal) => void>();

  const switchTo = (next: boolean): void => {
    if (off === next) return;
    off = next;
    if (off) for (const end of [...open]) end();
    for (const watcher of [...watchers]) watcher(off ? "offline" : "online");
    for (const listener of [...listeners]) listener();
  };

  const fetch: Fetch = async (url, init) => {
    if (off) throw new TypeError("the network of this page is cut");
    // One signal for what the caller aborts and what the switch aborts: an answer's body ends with it, in the middle of a stream.
    const abort = new AbortController();
    const asked = init.signal instanceof AbortSignal ? init.signal : undefined;
    const end = (): void => abort.abort(new TypeError("the network of this page was cut"));
    const forward = (): void => {
      open.delete(end);
      abort.abort(asked?.reason);
    };
    asked?.addEventListener("abort", forward, { once: true });
    if (asked?.aborted) forward();
    open.add(end);
    const done = (): void => {
      open.delete(end);
      asked?.removeEventListener("abort", forward);
    };
    try {
      return watched(await base.fetch!(url, { ...init, signal: abort.signal }), done);
    } catch (error) {
      done();
      throw error;
    }
  };

  const platform: Platform = {
    ...base,
    ...(base.fetch && { fetch }),
    ...(base.webSocket && {
      webSocket: (url, protocol) => {
        if (off) throw new TypeError("the network of this page is cut");
        const socket = base.webSocket!(url, protocol);
        open.add(() => socket.close());
        return socket;
      },
    }),
    offline: () => off || base.offline(),
    watch(listener) {
      watchers.add(listener);
      // The browser's network may be back while ours is cut.
      const stop = base.watch((signal) => off && signal === "online" ? undefined : listener(signal));
      return () => {
        watchers.delete(listener);
        stop();
      };
    },
  };

  return {
    platform,
    cut: () => switchTo(true),
    mend: () => switchTo(false),
    isCut: () => off,
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

type Answer = Awaited<ReturnType<Fetch>>;

/** An answer that tells when it was read to its end. */
function watched(answer: Answer, done: () => void): Answer {
  const { status, headers, body } = answer;
  return {
    status,
    headers,
    body: body && {
      getReader() {
        const reader = body.getReader();
        return {
          async read() {
            try {
              const part = await reader.read();
              if (part.done) done();
              return part;
            } catch (error) {
              done();
              throw error;
            }
          },
        };
      },
    },
    async text() {
      try {
        return await answer.text();
      } finally {
        done();
      }
    },
  };
}
