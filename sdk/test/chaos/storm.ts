import { until } from "../client.ts";
import type { Fault, Proxy } from "../proxy.ts";
import type { Step } from "../store/house.ts";
import type { Tablet } from "./tablet.ts";

const STREAMS = { sse: "GET /v1/stream", eventsource: "GET /v1/stream", ws: "GET /v1/ws" } as const;

/** What goes wrong with a stream that is about to begin. */
const beginnings: readonly ((y: number) => Omit<Fault, "client" | "match" | "times">)[] = [
  (y) => ({ end: "rst", after: 400 + (y % 800) }), // amid an event, most often
  (y) => ({ end: "fin", after: y % 500 }),
  () => ({ drop: 1 }),
  () => ({ answer: { status: 401 } }),
  () => ({ answer: { status: 429, header: { "Retry-After": "1" } } }),
  () => ({ answer: { status: 503, header: { "Retry-After": "1" }, body: "<h1>Service Unavailable</h1>" } }),
  () => ({ lost: "rst" }),
];

/** Streams that a client would bear for half a minute: they are cut as soon as they are there. */
const crawls: readonly Omit<Fault, "client" | "match" | "times">[] = [{ buffer: -1 }, { buffer: 1024 }, { rate: 1 }];

/** What goes wrong with a request that ends. */
const losses: readonly Omit<Fault, "client" | "match" | "times">[] = [
  { lost: "rst" },
  { lost: "fin" },
  { end: "rst", after: 0 },
  { end: "fin", after: 40 },
  { answer: { status: 429, header: { "Retry-After": "1" } } },
  { answer: { status: 503 } },
];

/** A network, a hub and tablets, and all that goes wrong between them. */
export interface Storm {
  /** Does what the step says. */
  play(step: Step): Promise<void>;
  /** How much went wrong. */
  cuts(): Promise<number>;
  /** Ends: the network is whole from now on. */
  end(): Promise<void>;
  /** Events that were published. */
  readonly published: readonly Promise<{ readonly cursor?: string }>[];
}

export function createStorm(proxy: Proxy, tablets: readonly Tablet[]): Storm {
  const published: Promise<{ readonly cursor?: string }>[] = [];
  const underWay = new Set<Promise<void>>();
  let cuts = 0; // of open connections
  let harmed = 0; // requests, so far as they were looked at
  let looked = 0;
  let turn = 0;
  let over = false;

  /** The next tablet whose stream is live: each has its turn, and one that comes back is not waited for. */
  const someoneLive = async (who: number): Promise<Tablet> => {
    turn += 1 + who;
    return until(() => {
      for (let i = 0; i < tablets.length; i++) {
        const tablet = tablets[(turn + i) % tablets.length]!;
        if (tablet.client.state.get() === "live") return tablet;
      }
      return undefined;
    });
  };
  const cut = async (tablet: Tablet, end: "fin" | "rst"): Promise<void> => {
    cuts += await proxy.cut({ client: tablet.page, match: STREAMS[tablet.over], end });
  };

  const aside = (work: () => Promise<void>): void => {
    const all = work().finally(() => underWay.delete(all));
    underWay.add(all);
  };

  const harmedBy = async (behind: number, page: string): Promise<boolean> =>
    (await proxy.log(behind)).some(({ client, harm }) => client === page && (harm === "buffer" || harm === "rate"));

  return {
    published,
    async play([kind, who, x, y]) {
      const tablet = tablets[(who + 3 * x) % tablets.length]!;
      const { page } = tablet;
      // What the page that reloads publishes is given up with it.
      const publish = (type: string, ack?: "any" | "device"): void => {
        const { client } = tablet === tablets.at(-1) ? tablets[0]! : tablet;
        published.push(client.publish({ topic: `calls/${x % 5}`, type, data: y, ...(ack && { ack: { by: ack, within: "1s", attempts: 20 } }) }));
      };
      switch (kind) {
        case 0:
        case 1:
        case 2:
        case 3:
          return tablet.mutate(x, y);
        case 4:
        case 5:
          return publish("call", "device");
        case 6:
          return publish("call:over");
        case 7:
        case 8:
        case 9:
          await proxy.faults({ client: page, match: "POST /v1/mutations", times: 1, ...losses[y % losses.length]! });
          return tablet.mutate(x, y);
        case 10:
          await proxy.faults({ client: page, match: x % 2 === 0 ? "POST /v1/acks" : "POST /v1/events", times: 1, ...losses[y % losses.length]! });
          return publish("call", "any");
        case 11:
        case 12:
        case 13: {
          const next = await someoneLive(who);
          await proxy.faults({ client: next.page, match: STREAMS[next.over], times: 1, ...beginnings[x % beginnings.length]!(y) });
          return cut(next, y % 2 === 0 ? "fin" : "rst");
        }
        case 14: {
          const next = await someoneLive(who);
          const behind = (await proxy.log(looked)).length + looked;
          await proxy.faults({ client: next.page, match: STREAMS[next.over], times: 1, ...crawls[x % crawls.length]! });
          await cut(next, "fin");
          const { page: at } = next;
          return aside(async () => {
            // A page that is closed meanwhile, or whose next stream has another fault, may never come to it.
            while (!over && !(await harmedBy(behind, at))) await new Promise((soon) => setTimeout(soon, 20));
            cuts += await proxy.cut({ client: at, match: STREAMS[next.over], end: "rst" });
          });
        }
        case 15:
          return cut(await someoneLive(who), y % 2 === 0 ? "fin" : "rst");
        case 16: {
          if (x % 3 > 0) return cut(await someoneLive(who), "rst");
          const next = await someoneLive(who);
          cuts += await proxy.freeze({ client: next.page, match: STREAMS[next.over] });
          return;
        }
        case 17:
          if (x % 8 === 0) tablets.at(-1)!.takeBack(y); // and is gone before it is told how that ended
          if (x % 4 === 0) return tablets.at(-1)!.reload();
          return cut(await someoneLive(who), "fin");
        case 18:
          if (x % 6 > 0) return cut(await someoneLive(who), "rst");
          // The whole house is without a network for a moment.
          await proxy.refuse(true);
          cuts += await proxy.cut({ end: y % 2 === 0 ? "fin" : "rst" });
          await until(() => tablets.every(({ client }) => client.state.get() !== "live"));
          return proxy.refuse(false);
        case 19:
          return tablet.takeBack(y);
      }
    },
    async cuts() {
      const log = await proxy.log(looked);
      looked += log.length;
      harmed += log.filter(({ harm }) => harm !== undefined && harm !== "delay").length;
      return cuts + harmed;
    },
    async end() {
      over = true;
      await Promise.all(underWay);
      await proxy.mend();
      await proxy.cut({ end: "rst" }); // and with it what still crawls
    },
  };
}
