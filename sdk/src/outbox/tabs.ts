// Several tabs over one storage, which is what they agree on: the one that leads sends and writes; the others add, and mirror it.
// One tab alone leads. What a page left is adopted in the same way, whether it was closed or led before.
import type { Decision } from "./conflict.ts";
import type { Options } from "./api.ts";
import { type Ask, draftOf, type Lanes, type Request, type Slot } from "./lane.ts";
import type { Entry } from "./storage.ts";

/** What one tab may ask of the one that leads: to cancel or dismiss a mutation, or to decide a conflict. */
export type Wish = "cancel" | "dismiss" | Decision;

/** Who keeps the requests, for who shares them. */
export interface Desk {
  closed(): boolean;
  /** Requests are here that an earlier page, or another tab, has stored. */
  restored(requests: readonly Request[]): void;
  /** The leader has written another entry in the place of a slot's. */
  update(slot: Slot, entry: Entry): void;
  /** Who led has forgotten a mutation, before this tab has seen what became of it or after. */
  forgotten(slots: readonly Slot[]): void;
  /** This tab leads from now on. */
  lead(): Promise<void>;
  drain(): void;
  act(wish: Wish, slot: Slot, ask?: Ask): void;
}

export interface Sharing {
  /** What was there is here; rejects when the storage cannot be read. */
  readonly loaded: Promise<void>;
  /** The hub was asked about what it may have got. */
  readonly ready: Promise<void>;
  /** Whether it is this tab that leads, or will when it has read the storage. */
  boss(): boolean;
  /** Whether this tab writes and decides. */
  leads(): boolean;
  /** Tells the others that the storage has changed. */
  look(): void;
  /** Reads the storage, for what others have changed. */
  sync(): Promise<void>;
  /** Does what a tab asks for itself, by whoever leads. */
  rule(wish: Wish, slot: Slot, ask?: Ask): void;
  close(): void;
}

interface Word {
  readonly id?: string;
  readonly seq?: number;
  readonly wish?: Wish;
}

export function sharing({ storage, leadership, signal }: Options, lanes: Lanes, desk: Desk): Sharing {
  let leads = false;
  let life = 0; // counts changes of the leadership
  let next: Promise<void> | undefined;

  const boss = (): boolean => leadership?.getSnapshot() ?? true;
  const post = (word: Word): void => signal?.post(word);

  const load = async (): Promise<void> => {
    const all = await storage.load();
    if (desk.closed()) return;
    // A write that was made again after its connection was lost may be there twice; its page went on with the last.
    const newest = new Map(all.map((e) => [e.id, e.seq]));
    const requests = new Map<string, Entry[]>();
    for (const e of all) {
      const slot = lanes.find(e.id, e.seq);
      const name = e.group ?? e.id;
      if (newest.get(e.id) !== e.seq) {
        if (boss()) storage.remove(e.seq).catch(() => {});
      } else if (!slot) requests.set(name, [...(requests.get(name) ?? []), e]);
      else if (!slot.entry.seq) lanes.change(slot, { seq: e.seq });
      // (What was committed this tab may know before the leader.)
      else if (!leads && slot.entry.version === undefined && JSON.stringify(e) !== JSON.stringify(slot.entry)) desk.update(slot, e);
    }
    const asksOf = (entries: Entry[]): Ask[] => entries.map((e) => ({ draft: draftOf(e), settle: () => {} }));
    desk.restored([...requests.values()].map((entries) => lanes.insert(entries, asksOf(entries), false)));
    if (leads) return desk.drain();
    const there = new Set(all.map((e) => e.seq));
    desk.forgotten(lanes.all().filter(({ entry }) => entry.seq && !there.has(entry.seq)));
  };
  const loaded = load();
  let turn = loaded.catch(() => {});
  const sync = (): Promise<void> =>
    (next ??= turn = turn.then(() => {
      next = undefined;
      return load().catch(() => {});
    }));

  const reign = async (read: Promise<void>): Promise<void> => {
    const mine = ++life;
    leads = false;
    await read;
    if (mine !== life || desk.closed() || !boss()) return;
    leads = true;
    await desk.lead();
  };
  const ready = reign(turn);
  let reigning = ready;
  const stops = [
    leadership?.subscribe(() => {
      if (boss() !== leads) reigning = reign(sync());
    }),
    signal?.listen((word) => {
      const { id = "", seq, wish } = word as Word;
      void sync().then(() => {
        const slot = lanes.find(id, seq);
        if (wish && slot && leads) desk.act(wish, slot);
      });
    }),
  ];

  return {
    loaded,
    ready,
    boss,
    leads: () => leads,
    look: () => post({}),
    sync,
    rule(wish, slot, ask) {
      if (leads) return desk.act(wish, slot, ask);
      void Promise.allSettled([reigning, slot.request.stored]).then(() => {
        if (leads) desk.act(wish, slot, ask);
        else post({ wish, id: slot.entry.id, seq: slot.entry.seq });
      });
    },
    close() {
      for (const stop of stops) stop?.();
    },
  };
}
