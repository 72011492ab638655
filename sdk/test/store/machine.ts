import type { Clock } from "../../src/core/clock.ts";
import type { Leadership, Signal } from "../../src/outbox/api.ts";
import type { Entry, Storage } from "../../src/outbox/storage.ts";
import type { Entity } from "../../src/outbox/wire.ts";
import type { Fault } from "./house.ts";

/** Time that passes only by advance. */
export class SimClock implements Clock {
  private at = 0;
  private timers = new Map<object, { at: number; callback: () => void }>();
  now = (): number => this.at;
  set = (callback: () => void, ms: number): object => {
    const timer = {};
    this.timers.set(timer, { at: this.at + ms, callback });
    return timer;
  };
  clear = (timer: unknown): void => void this.timers.delete(timer as object);
  advance(ms: number): void {
    this.at += ms;
    for (const [timer, { at, callback }] of [...this.timers]) {
      if (at <= this.at && this.timers.delete(timer)) callback();
    }
  }
}

/** One device: a disk that outlives its tabs, of which one leads, and the words that are on their way between them. */
export class Machine {
  readonly entries = new Map<number, Entry>();
  readonly entities = new Map<string, Entity>();
  last = 0;
  private calls: { owner: object; run: () => void }[] = [];
  private tabs: { owner: object; lead: () => void; hear: (word: unknown) => void; words: unknown[] }[] = [];

  /** A disk of one tab, whose calls take effect later, in order, or never: a crash loses what was not written. */
  storage(owner: object, fault?: Fault): Storage {
    const later = <T>(run: () => T): Promise<T> => new Promise((resolve) => this.calls.push({ owner, run: () => resolve(run()) }));
    const read = <T>(run: () => T): Promise<T> => (this.calls.some((call) => call.owner === owner) ? later(run) : Promise.resolve(run()));
    return {
      durable: true,
      load: () => read(() => structuredClone([...this.entries.values()].sort((a, b) => a.seq - b.seq))),
      add: (all) =>
        later(() =>
          all.map((entry) => {
            this.entries.set(++this.last, { ...structuredClone(entry), seq: this.last });
            return this.last;
          }),
        ),
      put: (all) => {
        if (fault === "sent not stored first" && all.some((e) => e.state === "sent")) return Promise.resolve();
        return later(() => all.forEach((e) => this.entries.has(e.seq) && this.entries.set(e.seq, structuredClone(e))));
      },
      remove: (seq) => later(() => void this.entries.delete(seq)),
      device: async () => undefined,
      recall: () => read(() => structuredClone([...this.entities.values()])),
      keep: (all) => later(() => all.forEach((e) => (e.data ? this.entities.set(e.topic, structuredClone(e)) : this.entities.delete(e.topic)))),
    };
  }

  /** A tab joins, and leads when it is the first. */
  join(owner: object, fault?: Fault): { leadership: Leadership; signal: Signal } {
    const tab = { owner, lead: () => {}, hear: (_: unknown): void => {}, words: [] as unknown[] };
    this.tabs.push(tab);
    return {
      leadership: {
        get: () => fault === "two leaders" || this.tabs[0] === tab,
        subscribe: (listener) => ((tab.lead = listener), () => (tab.lead = () => {})),
      },
      signal: {
        post: (word) => this.tabs.forEach((other) => other !== tab && other.words.push(structuredClone(word))),
        listen: (listener) => ((tab.hear = listener), () => (tab.hear = () => {})),
      },
    };
  }

  /** The words of a tab are heard, in order. */
  hear(owner: object, n: number): void {
    const tab = this.tabs.find((t) => t.owner === owner);
    for (const word of tab?.words.splice(0, n) ?? []) tab?.hear(word);
  }

  write(n: number): void {
    for (const { run } of this.calls.splice(0, n)) run();
  }

  /** A tab is no more: what it had not written never is, and the next one leads. */
  crash(owner: object): void {
    this.calls = this.calls.filter((call) => call.owner !== owner);
    const [first] = this.tabs;
    this.tabs = this.tabs.filter((t) => t.owner !== owner);
    if (first !== this.tabs[0]) this.tabs[0]?.lead();
  }
}
