import type { Clock } from "../core/clock.ts";
import { createObservable, createRun, type Observable } from "../core/observable.ts";
import type { Share, Transport } from "../core/transport.ts";
import { hold } from "./hold.ts";
import { type Company, type Part, takePart } from "./part.ts";
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
  readonly leadership: Observable<boolean>;
}

/** How long the leader goes on asking for what a closed tab wanted: a reload wants it again. */
const LINGER = 5_000;
/** Where a client does without a stream, and does not come back by itself. */
const RESTING = "idle needs-auth failed closed";

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
  const able = locks && BroadcastChannel;
  const leads = createObservable(!able, createRun(console.error));

  let life: AbortController | undefined; // from the first stream until there is none and none to come
  let channel: BroadcastChannel;
  let own: string; // names this tab for as long
  let clock: Clock;
  let resting = false; // the client does without a stream
  let part: Part | undefined;

  const company: Company = {
    tabs: new Map(),
    apart: false,
    leads: leads.get,
    post: (word) => channel.postMessage({ ...word, tab: own }),
  };

  const join = (): void => {
    life = new AbortController();
    own = crypto.randomUUID();
    channel = new BroadcastChannel(lock);
    channel.onmessage = ({ data }: MessageEvent<Word>) => hear(data);
    const { signal } = life;
    hold(locks, `${lock}/${own}`, signal, () => {});
    hold(locks, lock, signal, () => {
      leads.set(true);
      part?.renew();
    });
  };

  const leave = (): void => {
    life!.abort();
    life = undefined;
    channel.close();
    leads.set(false);
  };

  const hear = (word: Word): void => {
    if (word.topics && !word.leads) {
      if (leads.get() && resting) return leave();
      // All hear who is to be carried: whoever leads next has heard it of all that are left.
      if (word.live) {
        if (!company.tabs.has(word.tab)) watch(word.tab);
        company.tabs.set(word.tab, word);
      }
    }
    part?.hear(word);
  };

  /** Hears when a tab is closed or killed: it gives back the lock that it has for itself. */
  const watch = (tab: string): void => {
    void locks.request(`${lock}/${tab}`, () => {
      company.tabs.delete(tab);
      clock.set(() => leads.get() && part?.renew(), LINGER);
    });
  };

  const shared = (transport: Transport): Transport => ({
    ...transport,
    open(request, sink) {
      clock = request.platform.clock;
      if (!life) join();
      const { close } = (part = takePart(company, transport, request, sink));
      return {
        close() {
          part = undefined;
          close();
        },
      };
    },
  });

  return {
    leadership: leads,
    over: (transports) => (able ? transports.map((transport) => (transport.name === "eventsource" ? transport : shared(transport))) : transports),
    state(next) {
      resting = RESTING.includes(next);
      // A tab without others leads on: what is done by the leader alone is to be done by somebody.
      if (resting && life && (next === "closed" || !leads.get() || company.tabs.size > 0)) leave();
    },
  };
}
