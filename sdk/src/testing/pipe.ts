// The way from the hub to one client: the body of an answer, and what a network may do to it.
import { encode } from "./bytes.ts";

/** Reads a body. */
export interface PipeReader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  /** Wants no more. */
  cancel(): Promise<void>;
  releaseLock(): void;
}

export interface Pipe {
  readonly reader: PipeReader;
  write(text: string): void;
  /** The hub is done: the reader ends behind what was written. */
  end(): void;
  /** The connection is cut: the reader fails. */
  cut(): void;
  /** From now on nothing gets through, and nobody is told. */
  freeze(): void;
  /** Holds everything back until the end, as a buffering proxy does. */
  hold(): void;
  /** Lets go of what was held, and holds no longer. */
  release(): void;
  readonly frozen: boolean;
}

/** How a fetch fails without an answer. */
export const networkError = (): TypeError => new TypeError("the network failed (test hub)");

/** gone is called when the reader wants no more. */
export function createPipe(gone: () => void): Pipe {
  let text = ""; // written and not read
  let held = false;
  let frozen = false;
  let ended = false;
  let failed = false;
  let waiting: { done(result: { done: boolean; value?: Uint8Array }): void; fail(error: unknown): void } | undefined;

  const wake = (): void => {
    const reading = waiting;
    if (!reading) return;
    waiting = undefined;
    if (failed) return reading.fail(networkError());
    if (text !== "" && (!held || ended)) {
      const value = encode(text);
      text = "";
      return reading.done({ done: false, value });
    }
    if (ended) return reading.done({ done: true });
    waiting = reading;
  };

  const fail = (): void => {
    if (failed) return;
    failed = true;
    text = "";
    wake();
  };

  return {
    reader: {
      read: () =>
        new Promise((done, failing) => {
          waiting = { done, fail: failing };
          wake();
        }),
      async cancel() {
        fail();
        gone();
      },
      releaseLock() {},
    },
    write(more) {
      if (frozen || failed || ended) return;
      text += more;
      wake();
    },
    end() {
      if (frozen) return;
      ended = true;
      wake();
    },
    cut: fail,
    freeze() {
      frozen = true;
    },
    hold() {
      held = true;
    },
    release() {
      held = false;
      wake();
    },
    get frozen() {
      return frozen;
    },
  };
}
