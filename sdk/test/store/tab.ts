import type { Outbox, Settlement } from "../../src/outbox/api.ts";
import { createOutbox } from "../../src/outbox/outbox.ts";
import type { Entity } from "../../src/outbox/wire.ts";
import type { RoxyEvent } from "../../src/core/messages.ts";
import type { Change as Commit } from "../../src/store/bases.ts";
import { overtaken } from "../../src/store/fold.ts";
import type { JsonObject } from "../../src/store/json.ts";
import { createStore, type Store } from "../../src/store/store.ts";
import type { Fault, House } from "./house.ts";
import type { Machine } from "./machine.ts";

/** One page on a device, whose disk outlives it. */
export class Tab {
  readonly settled: Map<string, Settlement>;
  /** Mutations of this life that have not ended. */
  open = new Set<string>();
  life = 0;
  position = 0;
  receiptsHeard = 0;
  streams = false;
  /** Who asks for what: of two tabs each time somebody else, as they do not share what they know. */
  page: object = this;
  store!: Store;
  outbox!: Outbox;
  heard = new Set<string>(); // settled in this life
  versions = new Map<string, number>();
  readonly name: string;
  readonly machine: Machine;
  private readonly house: House;
  constructor(name: string, machine: Machine, settled: Map<string, Settlement>, house: House) {
    this.name = name;
    this.machine = machine;
    this.settled = settled;
    this.house = house;
  }

  /** Opens the page; what it shows before its stream begins is of its cache. */
  start(): void {
    const { house } = this;
    const { fault, clock } = house;
    this.life++;
    if (this.name === "d0") this.page = {};
    this.heard = new Set();
    this.versions = new Map();
    this.open = new Set();
    this.streams = false;
    const storage = this.machine.storage(this, fault);
    const outbox = createOutbox({
      transport: house.transportOf(this),
      storage,
      clock,
      ...this.machine.join(this, fault),
      now: clock.now,
      newId: () => `${this.name}-${++house.ids}`,
      random: () => 0.5,
      device: this.name,
      conflict: (c) => house.judgeConflict(this, c),
      settled: (s) => house.judgeSettlement(this, s),
    });
    this.outbox = broken(outbox, fault);
    const early = fault === "no first toucher" ? hasty : fault === "sent mutation dropped early" ? anyState : overtaken;
    const { fetch, list } = house.transportOf(this);
    const cache = fault === "cache behind the outbox" ? { ...storage, keep: (all: readonly Entity[]) => storage.keep(all.filter((e) => !this.machine.entities.has(e.topic))) } : storage;
    this.store = createStore({ outbox: this.outbox, fetch, list, clock, follows: ["orders/*"], cache }, early);
    outbox.start();
  }

  crash(): void {
    // (A page that is cut off writes nothing more.)
    this.machine.crash(this);
    this.outbox.close();
    this.store.close();
    this.machine.crash(this);
    this.start();
  }

  /** Begins a stream with a snapshot; what is committed while it comes is replayed behind it. */
  snapshot(meanwhile: () => void = () => {}): void {
    const { hub } = this.house;
    this.store.receive({ kind: "snapshot" });
    const all = hub.topics().flatMap((topic) => hub.entity(topic) ?? []);
    for (const e of all) this.store.receive({ kind: "entity", time: "", ...structuredClone(e) });
    this.position = hub.log.length;
    this.receiptsHeard = hub.receipts.length;
    this.streams = true;
    meanwhile();
    this.hear(hub.log.length, 0);
    this.store.receive({ kind: "live", replayed: 0, entities: all.length });
  }

  hear(n: number, back: number): void {
    if (!this.streams) return;
    const { log } = this.house.hub;
    const from = Math.max(0, this.position - back);
    const to = Math.min(log.length, this.position + n);
    for (const c of log.slice(from, to)) this.store.receive(eventOf(c));
    this.position = Math.max(this.position, to);
  }

  view(topic: string): JsonObject | null {
    return this.store.entity(topic).get().data ?? null;
  }
}

function eventOf({ topic, ...change }: Commit): RoxyEvent {
  return structuredClone({ kind: "event", type: "entity:changed", topic, data: undefined, time: "", live: true, change });
}

/** Without the rule that only the first mutation that touches a field can be told early. */
const hasty: typeof overtaken = (base, before, pending) => pending.flatMap((e) => overtaken(base, before, [e]));

const anyState: typeof overtaken = (base, before, pending) =>
  overtaken(base, before, pending.map((e) => (e.state === "sent" ? { ...e, state: "queued" as const } : e)));

function broken(outbox: Outbox, fault: Fault | undefined): Outbox {
  switch (fault) {
    case "sent mutation dropped early":
      return { ...outbox, overtaken: (id, problem) => outbox.receipt({ id, status: "refused", problem }) };
    case "committed kept after a snapshot":
      return { ...outbox, applied: (topic, version, mutation) => mutation !== undefined && outbox.applied(topic, version, mutation) };
    default:
      return outbox;
  }
}
