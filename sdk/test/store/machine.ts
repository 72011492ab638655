import type { Clock } from "../../src/core/clock.ts";
import type { Entry, Storage } from "../../src/outbox/storage.ts";
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

/** A disk whose writes take effect later, in order, or never: a crash loses what was not written. */
export class SimDisk {
  readonly entries = new Map<number, Entry>();
  last = 0;
  private writes: (() => void)[] = [];
  storage(fault?: Fault): Storage {
    const later = <T>(write: () => T): Promise<T> => new Promise((resolve) => this.writes.push(() => resolve(write())));
    return {
      durable: true,
      load: async () => [...this.entries.values()].sort((a, b) => a.seq - b.seq),
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
      device: async () => undefined,
      recall: async () => [],
      keep: async () => {},
      remove: (seq) => later(() => void this.entries.delete(seq)),
    };
  }
  write(n: number): void {
    for (const write of this.writes.splice(0, n)) write();
  }
  crash(): void {
    this.writes = [];
  }
}
