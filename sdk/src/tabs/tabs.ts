import { parseCursor } from "../core/cursor.ts";
import type { Clock } from "../core/clock.ts";
import type { State } from "../core/connection.ts";
import { createObservable, createRun } from "../core/observable.ts";
import type { Link, Share, Transport } from "../core/transport.ts";
import type { Readable } from "../store/store.ts";
import { follow } from "./follower.ts";
import { type Company, lead, type Part } from "./leader.ts";
import { earlier, type Word } from "./words.ts";

/** Whose tabs share a stream. */
export interface TabsOptions {
  /**
   * Names who is signed in, and at which hub, among all that this origin's pages have: tabs of one name hear what any of them
   * may hear. A tab with another credential needs another name.
   */
  readonly name: string;
}

/** One stream for all tabs of a name: the option `share` of createClient, for one client. */
export interface Tabs extends Share {
  /** Whether this tab is the one that holds the stream; true where the browser cannot tell. Of the tabs of a name one at most is. */
  readonly leadership: Readable<boolean>;
}

/** How long the leader goes on asking for what a closed tab wanted: a reload wants it again. */
const LINGER = 10_000;

/**
 * Returns what lets all tabs of a name hold one stream. A Web Lock `roxy:NAME` says who does, a BroadcastChannel of that name
 * carries what came. Where there is either of them not (or no secure context), each tab has its own stream.
 *
 * A `device` belongs to the tabs together: the hub hears of what any of them has handled.
 */
export function tabs({ name }: TabsOptions): Tabs {
  if (!name) throw new Error("tabs: name is empty: it says whose tabs share a stream");
  const lock = `roxy:${name}`;
  const able = typeof BroadcastChannel === "function" && typeof navigator === "object" && "locks" in navigator && navigator.locks !== undefined;
  const run = createRun((error) =>
    queueMicrotask(() => {
      throw error;
    }),
  );
  const leads = createObservable(!able, run);

  let life: AbortController | undefined; // from the first stream until the client is closed
  let joined = Promise.resolve(false);
  let channel: BroadcastChannel | undefined;
  let resign: (() => void) | undefined;
  let resting = false; // the client does without a stream
  let alone = true; // no other tab is known: nothing is relayed
  let clock: Clock | undefined;
  let part: Part | undefined;
  const watched = new Set<string>();

  const company: Company = {
    tab: "",
    tabs: new Map(),
    floor: undefined,
    apart: false,
    post(word) {
      if (word.kind !== "relayed" || !alone) channel?.postMessage(word);
    },
  };

  /** Resolves to what gives the lock back; to undefined when another one has it and options say not to wait. */
  const take = (which: string, options: LockOptions): Promise<(() => void) | undefined> =>
    new Promise((resolve, reject) => {
      const held = (got: Lock | null): Promise<void> | void => (got ? new Promise<void>((release) => resolve(release)) : resolve(undefined));
      navigator.locks.request(which, options, held).catch(reject);
    });

  /** Hears when a tab is closed or killed: it gives back the lock that it has for itself. */
  const watch = (tab: string): void => {
    if (watched.has(tab)) return;
    watched.add(tab);
    void navigator.locks.request(`${lock}/${tab}`, () => {
      watched.delete(tab);
      company.tabs.delete(tab);
      clock?.set(() => part?.regard(), LINGER);
    });
  };

  const begin = (release: () => void, signal: AbortSignal): void => {
    if (signal.aborted) return release();
    signal.addEventListener("abort", release);
    resign = release;
    company.floor = undefined;
    for (const tab of company.tabs.keys()) watch(tab);
    leads.set(true);
    if (resting) company.post({ kind: "told", live: false, topics: [], types: [], tabs: company.tabs }); // who needs a stream asks
    else part?.regard();
  };

  const queue = (signal: AbortSignal): void => {
    alone = false;
    void take(lock, { signal }).then(
      (release) => begin(release!, signal),
      () => {}, // the client was closed
    );
  };

  /** Lets another tab lead; without one it leads on, as nobody else needs the stream. */
  const yields = (signal: AbortSignal): void => {
    leads.set(false);
    resign?.();
    queue(signal);
  };

  const hear = (word: Word, signal: AbortSignal): void => {
    if (word.kind === "told") {
      company.tabs = new Map(word.tabs);
      company.tabs.delete(company.tab);
    } else if (word.kind === "ask") {
      alone = false;
      if (word.at) {
        company.tabs.set(word.tab, { topics: word.topics, types: word.types });
        company.floor = earlier(parseCursor(word.at), company.floor);
        if (leads.get()) watch(word.tab);
      }
      if (resting && leads.get()) return yields(signal);
    }
    part?.hears(word);
  };

  const join = async (signal: AbortSignal): Promise<void> => {
    const tab = (company.tab = crypto.randomUUID());
    const own = (channel = new BroadcastChannel(lock));
    own.onmessage = ({ data }: MessageEvent<Word>) => hear(data, signal);
    signal.addEventListener("abort", () => own.close());
    const away = await take(`${lock}/${tab}`, {});
    if (signal.aborted) away?.();
    else signal.addEventListener("abort", () => away?.());
    const first = await take(lock, { ifAvailable: true }); // not by way of the queue, which never says that another one leads
    if (first) begin(first, signal);
    else queue(signal);
  };

  return {
    leadership: { subscribe: leads.subscribe, getSnapshot: leads.get },
    over(transports) {
      return able ? transports.map(shared) : transports;
    },
    state(next) {
      resting = RESTING.includes(next);
      if (!life) return;
      if (next === "closed") {
        life.abort();
        life = undefined;
        leads.set(false);
      } else if (resting && leads.get()) yields(life.signal);
    },
  };

  function shared(transport: Transport): Transport {
    return {
      ...transport,
      open(request, sink) {
        clock = request.platform.clock;
        if (!life) {
          life = new AbortController();
          joined = join(life.signal).then(
            () => true,
            () => false, // a frame that may not have locks
          );
        }
        let link: Link | undefined;
        let over = false;
        void joined.then((together) => {
          if (over) return;
          if (together) link = part = (leads.get() ? lead : follow)(company, transport, request, sink);
          else {
            leads.set(true);
            link = transport.open(request, sink);
          }
        });
        return {
          close() {
            over = true;
            link?.close();
            if (part === link) part = undefined;
          },
          hear: (type) => link?.hear?.(type),
        };
      },
    };
  }
}

/** Where a client does without a stream. */
const RESTING: readonly State[] = ["idle", "needs-auth", "failed", "closed"];
