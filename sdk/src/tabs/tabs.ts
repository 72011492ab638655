import type { Clock } from "../core/clock.ts";
import type { Link, Share, Transport } from "../core/transport.ts";
import type { Readable } from "../store/store.ts";
import { follow } from "./follower.ts";
import { type Company, lead, type Part } from "./leader.ts";
import type { Word } from "./words.ts";

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
const LINGER = 5_000;

/**
 * Returns what lets all tabs of a name hold one stream. A Web Lock `roxy:NAME` says who does, a BroadcastChannel of that name
 * carries what came. Where there is either of them not (or no secure context), each tab has its own stream.
 *
 * A `device` belongs to the tabs together: the hub hears of what any of them has handled.
 */
export function tabs({ name }: TabsOptions): Tabs {
  const lock = `roxy:${name}`;
  const { navigator, BroadcastChannel } = globalThis;
  const locks = navigator?.locks;
  let leads = !locks || !BroadcastChannel;
  let able = !leads;
  const listeners = new Set<() => void>();
  const become = (leader: boolean): void => {
    leads = leader;
    for (const listener of listeners) listener();
  };

  let life = new AbortController(); // from the first stream until there is none and none to come
  let joined: Promise<void> | undefined;
  let channel: BroadcastChannel | undefined;
  let resting = false; // the client does without a stream
  let alone = true; // no other tab is known: nothing is relayed
  let clock: Clock | undefined;
  let part: Part | undefined;

  const company: Company = {
    tab: "",
    tabs: new Map(),
    apart: false,
    post(word) {
      if (!("blocks" in word && alone)) channel?.postMessage(word);
    },
  };

  /** Has a lock until a signal; reports false when another tab has it and options say not to wait. */
  const hold = (which: string, until: AbortSignal, options: LockOptions): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const held = (got: Lock | null): Promise<void> | void => {
        resolve(got !== null);
        if (got && !until.aborted) return new Promise((release) => until.addEventListener("abort", () => release()));
      };
      locks.request(which, options, held).catch(reject);
    });

  /** Hears when a tab is closed or killed: it gives back the lock that it has for itself. */
  const watch = (tab: string): void => {
    void locks.request(`${lock}/${tab}`, () => {
      company.tabs.delete(tab);
      clock?.set(() => leads && part?.regard(), LINGER);
    });
  };

  const begin = (): void => {
    for (const tab of company.tabs.keys()) watch(tab);
    become(true);
    part?.regard();
  };

  const leave = (): void => {
    life.abort();
    channel?.close();
    joined = undefined;
    become(false);
  };

  const hear = (word: Word): void => {
    if ("tabs" in word) {
      if (leads) return; // of a leader before
      company.tabs = word.tabs;
      company.tabs.delete(company.tab);
    } else if ("tab" in word) {
      const { tab, at, topics, types } = word;
      alone = false;
      if (at) {
        if (leads && !company.tabs.has(tab)) watch(tab);
        company.tabs.set(tab, { topics, types });
      }
      if (leads && resting) return leave();
      // Between two attempts: there is nothing to be heard of yet, but somebody leads.
      if (leads && !part) return company.post({ from: company.tab, to: tab, live: false, topics: [], types: [], tabs: company.tabs });
    }
    part?.hears(word);
  };

  /** Resolves when it is known whether this tab leads. */
  const join = async ({ signal }: AbortController): Promise<void> => {
    const tab = (company.tab = crypto.randomUUID());
    channel = new BroadcastChannel(lock);
    channel.onmessage = ({ data }: MessageEvent<Word>) => hear(data);
    try {
      await hold(`${lock}/${tab}`, signal, {});
      // Not by way of the queue, which never says that another one leads.
      const first = await hold(lock, signal, { ifAvailable: true });
      if (signal.aborted) return;
      if (first) return begin();
      alone = false;
      void hold(lock, signal, { signal }).then(
        () => signal.aborted || begin(),
        () => {}, // left
      );
    } catch {
      able = false; // a frame that may not have locks
      become(true);
    }
  };

  return {
    leadership: {
      subscribe(listener) {
        const own = (): void => listener(); // each is its own, also of one function
        listeners.add(own);
        return () => void listeners.delete(own);
      },
      getSnapshot: () => leads,
    },
    over(transports) {
      return able ? transports.map((transport) => (transport.name === "eventsource" ? transport : shared(transport))) : transports;
    },
    state(next) {
      resting = RESTING.includes(next);
      // A tab without others leads on: what is done by the leader alone is to be done by somebody.
      if (resting && joined && able && !(leads && alone && next !== "closed")) leave();
    },
  };

  function shared(transport: Transport): Transport {
    return {
      ...transport,
      open(request, sink) {
        clock = request.platform.clock;
        joined ??= join((life = new AbortController()));
        let link: Link | undefined;
        let over = false;
        void joined.then(() => {
          if (over) return;
          if (able) link = part = (leads ? lead : follow)(company, transport, request, sink);
          else link = transport.open(request, sink);
        });
        return {
          close() {
            over = true;
            link?.close();
            if (part === link) part = undefined;
          },
        };
      },
    };
  }
}

/** Where a client does without a stream, and does not come back by itself. */
const RESTING = "idle needs-auth failed closed";
