// Several tabs over one storage, which is what they agree on: the one that leads sends and writes; the others add, and mirror it.
// One tab alone leads. What a page left is adopted in the same way, whether it was closed or led before.
import type { Decision } from "./conflict.ts";
import type { Options } from "./api.ts";
import type { Ask, Lanes, Slot } from "./lane.ts";
import type { Entry } from "./storage.ts";

/** What one tab may ask of the one that leads: to cancel or dismiss a mutation, or to decide a conflict. */
export type Wish = "cancel" | "dismiss" | Decision;

/** Who keeps the requests, for who shares them. */
export interface Desk {
  /** The storage was read. */
  loaded(all: readonly Entry[]): void;
  /** This tab leads from now on. */
  lead(): Promise<void>;
  drain(): void;
  act(wish: Wish, slot: Slot, ask?: Ask): void;
}

export interface Sharing {
  /** What was there is here, and the hub was asked about what it may have got. */
  readonly ready: Promise<void>;
  /** Whether this tab sends, writes and decides. */
  leads(): boolean;
  /** Tells the others that the storage has changed. */
  look(): void;
  /** Reads the storage, for what others have changed, and does what is due. */
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

  const boss = (): boolean => leadership?.get() ?? true;
  const post = (word: Word): void => signal?.post(word);
  const read = async (): Promise<void> => {
    next = undefined;
    await storage.load().then(desk.loaded).catch(() => {});
    desk.drain();
  };
  let turn = read();
  const sync = (): Promise<void> => (next ??= turn = turn.then(read));

  const reign = async (known = sync()): Promise<void> => {
    const mine = ++life;
    leads = false;
    await known;
    if (mine !== life || !boss()) return;
    leads = true;
    await desk.lead();
  };
  const ready = reign(turn);
  let reigning = ready;
  const stops = [
    leadership?.subscribe(() => {
      if (boss() !== leads) reigning = reign();
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
    ready,
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
      life++;
      leads = false;
      for (const stop of stops) stop?.();
    },
  };
}
