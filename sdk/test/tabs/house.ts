// A browser whose tabs share a stream, and a hub, in one process: whatever can happen at any moment happens when the test says so.
import { vi } from "vitest";
import type { Clock } from "../../src/core/clock.ts";
import { type Client, createCore } from "../../src/core/client.ts";
import type { Platform } from "../../src/core/platform.ts";
import { RoxyProblem } from "../../src/core/problem.ts";
import { matches } from "../../src/core/topic.ts";
import type { Block, Sink, StreamRequest, Transport } from "../../src/core/transport.ts";
import { type Tabs, tabs } from "../../src/tabs.ts";
import { createFakeClock } from "../clock.ts";

/** What is under way, in order on each way; which way is next is nobody's choice. */
class Ways {
  private readonly ways = new Map<string, (() => void)[]>();
  add(way: string, task: () => void): void {
    this.ways.set(way, [...(this.ways.get(way) ?? []), task]);
  }
  names(): string[] {
    return [...this.ways.keys()];
  }
  run(way: string): void {
    const [task, ...rest] = this.ways.get(way) ?? [];
    if (rest.length > 0) this.ways.set(way, rest);
    else this.ways.delete(way);
    task?.();
  }
}

/** What a tab was given, in order: offsets of events, and the cursors of resets. */
type Given = { readonly epoch: string; readonly offset: number; readonly reset?: true };

interface Tab {
  readonly name: string;
  readonly topics: readonly string[];
  readonly client: Client;
  readonly share: Tabs;
  readonly given: Given[];
  alive: boolean;
  /** Where its first stream began. */
  begin: { epoch: string; offset: number } | undefined;
}

interface Stream {
  readonly tab: Tab;
  readonly request: StreamRequest;
  readonly sink: Sink;
  readonly way: string;
  /** In which it was greeted. */
  epoch: string;
  live: boolean;
}

interface Waiting {
  readonly tab: Tab;
  readonly granted: LockGrantedCallback<unknown>;
  readonly over: () => void;
}

const TOPICS = ["a", "b", "c", "d"];

export class House {
  readonly tabs: Tab[] = [];
  readonly broken: string[] = [];
  private readonly ways = new Ways();
  private readonly clock = createFakeClock();
  private count = 0;
  private epoch = "e0";
  private epochs = new Map<string, string[]>([["e0", []]]); // the topics of their events
  private streams = new Set<Stream>();
  private readonly held = new Map<string, Waiting>();
  private readonly queues = new Map<string, Waiting[]>();
  private readonly channels = new Set<{ tab: Tab; name: string; onmessage: ((event: { data: unknown }) => void) | null }>();

  private get log(): string[] {
    return this.epochs.get(this.epoch)!;
  }

  /** Does what a number says. */
  async step(n: number): Promise<void> {
    const [what, which] = [n % 40, Math.floor(n / 40)];
    const tab = this.tabs[which % this.tabs.length];
    if (what < 5) this.publish(TOPICS[which % TOPICS.length]!);
    else if (what === 5 && this.tabs.length < 6) this.open(which);
    else if (what === 6 && tab) this.kill(tab);
    else if (what === 7 && tab) tab.client.close();
    else if (what === 8 && tab) tab.client.connect();
    else if (what === 9) this.cut([...this.streams][which % this.streams.size]);
    else if (what === 10 && which % 4 === 0) this.forget();
    else if (what === 11) this.beat();
    else if (what < 14) await this.clock.go([10, 300, 1_500, 6_000][which % 4]!);
    else {
      const names = this.ways.names();
      if (names.length > 0) this.ways.run(names[which % names.length]!);
    }
    await this.clock.go(0);
  }

  /** Lets all that is under way arrive, for as long as it takes tabs to share one stream again. */
  async quiesce(): Promise<void> {
    for (const tab of this.tabs) tab.client.connect();
    for (let second = 0; second < 120; second++) {
      await this.arrive();
      if (second % 5 === 0) this.beat();
      await this.clock.go(1_000);
    }
    for (const topic of TOPICS) this.publish(topic);
    await this.arrive();
    for (const tab of this.tabs) this.judge(tab);
    if (this.tabs.length > 0) {
      if (this.streams.size !== 1) this.broken.push(`one stream: there are ${this.streams.size}`);
      const leaders = this.tabs.filter(({ share }) => share.leadership.get()).length;
      if (leaders !== 1) this.broken.push(`one leader: there are ${leaders}`);
    }
    for (const tab of this.tabs) this.kill(tab);
  }

  private async arrive(): Promise<void> {
    for (let round = 0; this.ways.names().length > 0; round++) {
      if (round > 1000) throw new Error(`no end: ${this.ways.names().join()}`);
      for (const name of this.ways.names()) this.ways.run(name);
      await this.clock.go(0);
    }
  }

  /** No hole, no repeat: what a tab was given is what its topics brought since it began, or since the log was lost. */
  private judge({ name, topics, given, begin, client }: Tab): void {
    let at = begin;
    if (!at) return void this.broken.push(`${name} never began: ${client.state.get()}`);
    const next = (): number => this.epochs.get(at!.epoch)!.findIndex((topic, i) => i >= at!.offset && topics.includes(topic)) + 1;
    for (const { epoch, offset, reset } of given) {
      if (reset) at = { epoch, offset };
      else if (epoch !== at.epoch || offset !== next()) this.broken.push(`${name} at ${at.epoch}.${at.offset} was given ${epoch}.${offset}, not ${next()}`);
      at = { epoch, offset };
    }
    if (at.epoch !== this.epoch) this.broken.push(`${name} never left ${at.epoch}`);
    if (next() > 0) this.broken.push(`${name} at ${at.epoch}.${at.offset} was not given ${next()}`);
    if (client.continuity.get() === "catching-up") this.broken.push(`${name} is not caught up`);
  }

  private publish(topic: string): void {
    const offset = this.log.push(topic);
    for (const stream of this.streams) {
      if (stream.live && stream.request.topics.some((pattern) => matches(pattern, topic))) this.tell(stream, [this.event(offset)]);
    }
  }
  private event(offset: number): Block {
    return { event: "it", id: `${this.epoch}.${offset}`, data: { topic: this.log[offset - 1], time: "", data: null } };
  }
  private beat(): void {
    for (const stream of this.streams) if (stream.live) this.tell(stream, [{ event: "roxy:heartbeat", id: this.head(), data: { time: "" } }]);
  }
  private head(): string {
    return `${this.epoch}.${this.log.length}`;
  }
  private tell(stream: Stream, blocks: readonly Block[]): void {
    this.ways.add(stream.way, () => {
      if (!this.streams.has(stream)) return;
      stream.sink.alive();
      stream.sink.blocks(blocks);
    });
  }
  private cut(stream: Stream | undefined): void {
    if (!stream) return;
    stream.live = false;
    this.ways.add(stream.way, () => {
      if (this.streams.delete(stream)) stream.sink.ended({});
    });
  }
  /** The hub loses its log. */
  private forget(): void {
    this.epoch = `e${this.epochs.size}`;
    this.epochs.set(this.epoch, []);
    for (const stream of this.streams) this.cut(stream);
  }

  private transport(tab: () => Tab): Transport {
    return {
      name: "ws",
      usable: () => true,
      open: (request, sink) => {
        const stream: Stream = { tab: tab(), request, sink, way: `stream ${++this.count}`, epoch: "", live: false };
        this.streams.add(stream);
        this.ways.add(stream.way, () => this.greet(stream));
        const close = (): void => {
          if (this.streams.delete(stream)) this.ways.add(stream.way, () => tab().alive && sink.ended({})); // an aborted fetch says so
        };
        return { close };
      },
    };
  }
  private greet(stream: Stream): void {
    const { tab, request, sink } = stream;
    if (!this.streams.has(stream)) return;
    if (this.count % 11 === 0) {
      this.streams.delete(stream);
      return sink.ended({ problem: new RoxyProblem("network", 0) });
    }
    const [epoch, offset] = (request.after ?? this.head()).split(".") as [string, string];
    const told = { connection: stream.way, heartbeat: "15s", time: "", cursor: `${epoch}.${offset}` };
    stream.epoch = this.epoch;
    sink.alive();
    if (epoch !== this.epoch) {
      const cursor = this.head();
      sink.blocks([{ event: "roxy:hello", data: told }]);
      this.tell(stream, [{ event: "roxy:reset", id: cursor, data: { reason: "epoch", cursor } }]);
      this.ways.add(stream.way, () => this.catchUp(stream, Number(cursor.split(".")[1])));
    } else {
      if (!request.after && !tab.begin) tab.begin = { epoch, offset: Number(offset) };
      sink.blocks([{ event: "roxy:hello", id: told.cursor, data: told }]);
      this.ways.add(stream.way, () => this.catchUp(stream, Number(offset)));
    }
  }
  private catchUp(stream: Stream, after: number): void {
    if (!this.streams.has(stream)) return;
    if (stream.epoch !== this.epoch) return; // it is being cut
    stream.live = true;
    const { topics } = stream.request;
    const replay = this.log.flatMap((topic, i) => (i >= after && topics.some((pattern) => matches(pattern, topic)) ? [this.event(i + 1)] : []));
    this.tell(stream, [...replay, { event: "roxy:live", id: this.head(), data: { replayed: replay.length } }]);
  }

  private open(which: number): void {
    const name = `tab ${++this.count}`;
    const topics = TOPICS.filter((_, i) => (which >> i) & 1);
    if (topics.length === 0) topics.push("a");
    const transports = [this.transport(() => tab)];
    const { clock } = this;
    const own: Clock = { now: clock.now, clear: clock.clear, set: (callback, ms) => clock.set(() => tab.alive && callback(), ms) };
    const platform: Platform = {
      clock: own,
      random: () => 0.5,
      hex: () => `${++this.count}`,
      absolute: (url) => url,
      abort: () => new AbortController(),
      decoder: () => new TextDecoder(),
      base64: atob,
      watch: () => () => {},
      hidden: () => true, // so that it does not ping
      offline: () => false,
      report: (error) => void this.broken.push(String(error)),
    };
    vi.stubGlobal("navigator", { locks: this.locks(() => tab) });
    vi.stubGlobal("BroadcastChannel", this.channel(() => tab));
    const share = tabs({ name: "ann" });
    const client = createCore(platform, { url: "", topics, transports, share });
    const tab: Tab = { name, topics, client, share, given: [], alive: true, begin: undefined };
    client.messages((batch) => {
      for (const message of batch) {
        if (message.kind !== "event" && message.kind !== "reset") continue;
        const [epoch, offset] = message.cursor!.split(".") as [string, string];
        tab.given.push({ epoch, offset: Number(offset), ...(message.kind === "reset" && { reset: true }) });
      }
    });
    client.onReset(() => {});
    this.tabs.push(tab);
    client.connect();
  }

  private kill(tab: Tab): void {
    tab.alive = false;
    this.tabs.splice(this.tabs.indexOf(tab), 1);
    for (const stream of this.streams) if (stream.tab === tab) this.streams.delete(stream);
    for (const channel of this.channels) if (channel.tab === tab) this.channels.delete(channel);
    for (const [name, queue] of this.queues) this.queues.set(name, queue.filter((waiting) => waiting.tab !== tab));
    for (const [name, holder] of this.held) if (holder.tab === tab) this.release(name, holder);
  }

  private locks(tab: () => Tab): Pick<LockManager, "request"> {
    const request = (name: string, given: LockOptions | LockGrantedCallback<unknown>, callback?: LockGrantedCallback<unknown>): Promise<unknown> => {
      const options = typeof given === "function" ? {} : given;
      const granted = typeof given === "function" ? given : callback!;
      return new Promise((resolve, reject) => {
        const waiting: Waiting = { tab: tab(), granted, over: () => resolve(undefined) };
        options.signal?.addEventListener("abort", () => {
          const queue = this.queues.get(name) ?? [];
          if (!queue.includes(waiting)) return;
          this.queues.set(name, queue.filter((other) => other !== waiting));
          reject(options.signal!.reason as Error);
        });
        this.ways.add(`lock ${name}`, () => {
          const queue = this.queues.get(name) ?? [];
          if (!waiting.tab.alive || options.signal?.aborted) return;
          if (!options.ifAvailable) this.queues.set(name, [...queue, waiting]);
          else if (queue.length === 0 && !this.held.has(name)) this.grant(name, waiting);
          else resolve(granted(null));
          this.pump(name);
        });
      });
    };
    return { request: request as LockManager["request"] };
  }
  private pump(name: string): void {
    const [first, ...rest] = this.queues.get(name) ?? [];
    if (!first || this.held.has(name)) return;
    this.queues.set(name, rest);
    this.grant(name, first);
  }
  private grant(name: string, holder: Waiting): void {
    this.held.set(name, holder);
    void Promise.resolve(holder.granted({ name, mode: "exclusive" })).then(() => {
      holder.over();
      this.release(name, holder);
    });
  }
  private release(name: string, holder: Waiting): void {
    if (this.held.get(name) !== holder) return;
    this.held.delete(name);
    this.ways.add(`lock ${name}`, () => this.pump(name));
  }

  private channel(tab: () => Tab): unknown {
    const { channels, ways } = this;
    return class {
      readonly tab: Tab = tab();
      readonly name: string;
      onmessage: ((event: { data: unknown }) => void) | null = null;
      constructor(name: string) {
        this.name = name;
        channels.add(this);
      }
      postMessage(data: unknown): void {
        for (const other of channels) {
          if (other === this || other.name !== this.name) continue;
          const copy: unknown = structuredClone(data);
          ways.add(`${this.tab.name} to ${other.tab.name}`, () => channels.has(other) && other.onmessage?.({ data: copy }));
        }
      }
      close(): void {
        channels.delete(this);
      }
    };
  }
}
