import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inject, onTestFinished } from "vitest";
import type { Hub } from "./hub.ts";

/** Which requests; all when nothing is said. */
export interface Where {
  readonly client?: string;
  /** A method and how the path begins: `GET /v1/stream`. */
  readonly match?: string;
}

/** What befalls requests: internal/faultproxy says what each member does. */
export interface Fault extends Where {
  readonly times?: number;
  readonly answer?: { readonly status: number; readonly header?: Readonly<Record<string, string>>; readonly body?: string };
  readonly lost?: "fin" | "rst";
  readonly delay?: number;
  readonly jitter?: number;
  readonly rate?: number;
  readonly drop?: number;
  readonly buffer?: number;
  readonly end?: "fin" | "rst" | "freeze";
  readonly after?: number;
}

/** A request that reached the proxy. */
export interface Asked {
  /** In milliseconds since the proxy began. */
  readonly at: number;
  readonly client?: string;
  readonly method: string;
  readonly path: string;
  /** When its client began it, by the client's clock: see platforms.ts. */
  readonly begun?: string;
  /** What a fault does to it. */
  readonly harm?: string;
  readonly status?: number;
}

/** A network between clients and a hub that does as it is told. */
export interface Proxy {
  /** Where the client of this name finds the hub. */
  url(client: string): string;
  /** Befall requests from now on, before earlier ones. */
  faults(...faults: readonly Fault[]): Promise<void>;
  /** Forgets all faults. */
  mend(): Promise<void>;
  /** Ends open connections, the oldest first, and tells how many. */
  cut(how: Where & { readonly end: "fin" | "rst"; readonly most?: number }): Promise<number>;
  /** Makes open connections half-open. */
  freeze(how: Where & { readonly most?: number }): Promise<number>;
  thaw(how: Where): Promise<number>;
  refuse(refuse: boolean): Promise<void>;
  /** The requests so far, behind so many. */
  log(behind?: number): Promise<readonly Asked[]>;
}

interface Answer {
  readonly error?: string;
  readonly address?: string;
  readonly count: number;
  readonly requests?: readonly Asked[];
}

/** Starts a proxy before a hub; it lives until the test ends. */
export async function startProxy(hub: Pick<Hub, "url">): Promise<Proxy> {
  const program = spawn(inject("faultproxy"), [new URL(hub.url).host], { stdio: ["pipe", "pipe", "inherit"] });
  const gone = new Promise((resolve) => program.once("exit", resolve));
  onTestFinished(async () => {
    program.stdin.end();
    await gone;
  });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const read = async (): Promise<Answer> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the fault proxy has ended");
    const answer = JSON.parse(value) as Answer;
    if (answer.error !== undefined) throw new Error(`the fault proxy: ${answer.error}`);
    return answer;
  };
  let last: Promise<unknown> = Promise.resolve();
  /** One command after the other: each has the next line for its answer. */
  const tell = (command: object): Promise<Answer> => {
    const answer = last.then(() => {
      program.stdin.write(`${JSON.stringify(command)}\n`);
      return read();
    });
    last = answer.catch(() => {});
    return answer;
  };

  const { address } = await read();
  return {
    url: (client) => `http://${address}/~${client}`,
    faults: async (...faults) => void (await tell({ faults })),
    mend: async () => void (await tell({ mend: {} })),
    cut: async (how) => (await tell({ cut: how })).count,
    freeze: async (how) => (await tell({ freeze: how })).count,
    thaw: async (how) => (await tell({ thaw: how })).count,
    refuse: async (refuse) => void (await tell({ refuse })),
    log: async (behind = 0) => (await tell({ log: behind })).requests ?? [],
  };
}
