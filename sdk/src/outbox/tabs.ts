// Several tabs over one storage, which is what they agree on: the one that leads sends and writes; the others add, and mirror it.
// One tab alone leads. What a page left is adopted in the same way, whether it was closed or led before.
import type { Timer } from "../core/clock.ts";
import type { Options, Settlement } from "./api.ts";
import { asked, draftOf, type Lanes, type Request, type Slot } from "./lane.ts";
import type { Entry } from "./storage.ts";
import type { Result } from "./wire.ts";

/** How often a leader looks for what a tab added that was closed before it could say so. */
const lookEvery = 15_000;
/** Names of mutations that ended here and may still be in the storage, or be read from it. */
const maxEnded = 2000;

/** What one tab may ask of the one that leads. */
export type Wish = "cancel" | "resolve" | "dismiss";

/** Who keeps the requests, for who shares them. */
export interface Desk {
  closed(): boolean;
  /** A request is here that an earlier page, or another tab, has stored. */
  restored(request: Request): void;
  /** The leader has written another entry in the place of a slot's. */
  update(slot: Slot, entry: Entry): void;
  /** A mutation has ended elsewhere. */
  ended(slot: Slot, result: Pick<Result, "status" | "version" | "problem">): void;
  /** This tab leads from now on. */
  leads(): Promise<void>;
  inquire(ids: readonly string[]): Promise<void>;
  drain(): void;
  wish(wish: Wish, slot: Slot, detail: unknown): void;
}

export interface Sharing {
  /** What was there is here; rejects when the storage cannot be read. */
  readonly stored: Promise<void>;
  /** The hub was asked about what it may have got. */
  readonly ready: Promise<void>;
  /** Whether it is this tab that leads, or will when it has read the storage. */
  boss(): boolean;
  /** Whether this tab writes and decides. */
  leads(): boolean;
  /** Whether it may send. */
  open(): boolean;
  /** Tells the others that the storage has changed. */
  look(): void;
  /** Reads the storage, for what others have changed. */
  sync(): Promise<void>;
  /** Mutations of this tab were stored. Who leads must know those that others stored before: they are sent before. */
  added(seqs: readonly number[]): Promise<void>;
  /** Tells the others how a mutation of the leader's ended. */
  settled(slot: Slot, settlement: Settlement): void;
  /** It is no more, though the storage may not have heard so. */
  forget(slot: Slot): void;
  /** Does what a tab asks for itself, by whoever leads. */
  rule(wish: Wish, slot: Slot, detail?: unknown, local?: () => void): void;
  close(): void;
}

interface Word {
  readonly seq?: number;
  readonly id?: string;
  readonly settlement?: Settlement;
  readonly wish?: Wish;
  readonly detail?: unknown;
}

export function sharing({ storage, transport, leadership, signal, clock }: Options, lanes: Lanes, desk: Desk): Sharing {
  const ended = new Set<string | number>(); // ids and seqs
  let leads = false;
  let open = false;
  let life = 0; // counts changes of the leadership
  let turn: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  let timer: Timer;
  let known = 0; // the last seq that was heard of
  let adopted: Promise<void> | undefined; // what others had stored before it

  const boss = (): boolean => leadership?.getSnapshot() ?? true;
  const post = (word: Word): void => signal?.post(word);
  const look = (): void => post({});

  const load = async (): Promise<void> => {
    const all = await storage.load();
    if (desk.closed()) return;
    // A write that was made again after its connection was lost may be there twice; its page went on with the last.
    const newest = new Map(all.map((e) => [e.id, e.seq]));
    const requests = new Map<string, Entry[]>();
    known = Math.max(known, all.at(-1)?.seq ?? 0);
    for (const e of all) {
      const slot = lanes.find(e.id, e.seq);
      if (newest.get(e.id) !== e.seq) {
        if (boss()) storage.remove(e.seq).catch(() => {});
      } else if (!slot) {
        if (!ended.has(e.id) && !ended.has(e.seq)) requests.set(e.group ?? e.id, [...(requests.get(e.group ?? e.id) ?? []), e]);
      } else if (!slot.entry.seq) slot.entry = { ...slot.entry, seq: e.seq };
      else if (!leads && !slot.end && JSON.stringify(e) !== JSON.stringify(slot.entry)) desk.update(slot, e);
    }
    for (const entries of requests.values()) {
      desk.restored(lanes.insert(entries, false, entries.map((e) => ({ draft: draftOf(e), settle: () => {} }))));
    }
    if (leads) return desk.drain();
    const there = new Set(all.map((e) => e.seq));
    const gone = lanes.slots().filter(({ entry }) => entry.seq && !there.has(entry.seq));
    for (const slot of gone) if (slot.end && slot.entry.state !== "committed") desk.ended(slot, { status: "cancelled" });
    // Who led has removed it, and was closed before it could say why. It must never be sent; the hub may know it.
    const lost = gone.filter((slot) => !slot.end);
    for (const slot of lost) slot.entry = { ...slot.entry, state: "cancelling" };
    if (lost.length === 0 || boss()) return;
    const results = transport.status(lost.map((s) => s.entry.id));
    results.then((all) => all.forEach((result, i) => desk.ended(lost[i] as Slot, result)), () => {});
  };
  const sync = (): Promise<void> => {
    next ??= turn = turn.catch(() => {}).then(() => {
      next = undefined;
      return load();
    });
    return next;
  };

  const reign = async (loaded: Promise<void>): Promise<void> => {
    const mine = ++life;
    const over = (): boolean => mine !== life || desk.closed();
    leads = open = false;
    await loaded.catch(() => {});
    if (over() || !boss()) return;
    leads = true;
    await desk.leads();
    // Without an answer it goes on: whatever the hub may have got is repeated under its id.
    await desk.inquire(lanes.slots().filter(asked).map((s) => s.entry.id)).catch(() => {});
    if (over()) return;
    open = true;
    desk.drain();
  };
  const stored = sync();
  const ready = reign(stored);
  let reigning = ready;
  const elect = (): void => {
    if (boss() === leads) return;
    ended.clear(); // what a leader before has left is adopted anew
    reigning = reign(sync());
  };

  const heard = (word: unknown): void => {
    const { settlement, wish, detail, id = "", seq } = word as Word;
    const find = (): Slot | undefined => lanes.find(id, seq);
    const slot = find();
    if (settlement && !leads && slot && !slot.end && (settlement.status === "committed" || settlement.status === "cancelled")) {
      slot.entry = { ...slot.entry, id }; // it may have been made again
      desk.ended(slot, settlement);
    }
    const after = sync().catch(() => {});
    if (!wish || !leads) return;
    void after.then(() => {
      const there = find();
      if (there && leads) desk.wish(wish, there, detail);
    });
  };
  const stops = [leadership?.subscribe(elect), signal?.listen(heard)];
  const watch = (): void => {
    timer = clock.set(() => {
      if (leads) sync().catch(() => {});
      watch();
    }, lookEvery);
  };
  if (leadership) watch();

  return {
    stored,
    ready,
    boss,
    leads: () => leads,
    open: () => open,
    look,
    sync: () => (leadership ? sync().catch(() => {}) : Promise.resolve()),
    async added(seqs) {
      const [first = 0] = seqs;
      const gap = boss() && first > known + 1;
      known = Math.max(known, first + seqs.length - 1);
      if (gap && leadership) adopted = sync().catch(() => {});
      await adopted;
    },
    settled(slot, settlement) {
      if (leads) post({ id: slot.entry.id, seq: slot.entry.seq, settlement });
    },
    forget({ entry: { id, seq } }) {
      for (const name of seq ? [id, seq] : [id]) ended.add(name);
      for (const name of [...ended].slice(0, -maxEnded)) ended.delete(name);
    },
    rule(wish, slot, detail, local = () => desk.wish(wish, slot, detail)) {
      if (leads) return local();
      void Promise.all([reigning, slot.request.stored]).then(() => {
        if (leads) local();
        else post({ wish, id: slot.entry.id, seq: slot.entry.seq, detail });
      });
    },
    close() {
      clock.clear(timer);
      for (const stop of stops) stop?.();
    },
  };
}
