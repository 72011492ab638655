// The outbox's storage in a browser. Its IndexedDB types are few and its own, because this is compiled without the DOM's.
import type { Entry, Storage } from "./storage.ts";
import type { Entity } from "./wire.ts";

interface Request<T> {
  readonly result: T;
  readonly error: unknown;
  onsuccess: unknown;
  onerror: unknown;
}
interface OpenRequest extends Request<Database> {
  onupgradeneeded: unknown;
  onblocked: unknown;
}
interface Cursor {
  update(value: unknown): unknown;
}
interface ObjectStore {
  getAll(): Request<unknown[]>;
  openCursor(key: number): Request<Cursor | null>;
  add(value: unknown): Request<unknown>;
  put(value: unknown): Request<unknown>;
  delete(key: number | string): Request<unknown>;
}
interface Transaction {
  readonly error: unknown;
  objectStore(name: string): ObjectStore;
  oncomplete: unknown;
  onabort: unknown;
}
interface Database {
  createObjectStore(name: string, options: { keyPath?: string; autoIncrement?: boolean }): ObjectStore;
  transaction(name: string, mode: "readonly" | "readwrite", options?: { durability: "strict" | "relaxed" }): Transaction;
  close(): void;
  onclose: unknown;
  onversionchange: unknown;
}

/** What is needed of globalThis.indexedDB. */
export interface Databases {
  open(name: string, version: number): unknown;
}

/**
 * An outbox in IndexedDB. The database's own counter gives the seq: it goes on over removed entries and is one for all tabs. WebKit
 * loses connections ("Connection to Indexed Database server lost"): a call that meets a lost one is made once more on a new one.
 * Name it after the hub and the user, as each has its own mutations. A database that is made now is this device's.
 */
export function indexedDBStorage(databases: Databases, name: string, device?: string): Storage {
  let opened: Promise<Database> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const open = (): Promise<Database> => {
    const opening = new Promise<Database>((resolve, reject) => {
      const request = databases.open(name, 1) as OpenRequest;
      request.onupgradeneeded = () => {
        const { result } = request;
        result.createObjectStore("mutations", { keyPath: "seq", autoIncrement: true });
        result.createObjectStore("entities", { keyPath: "topic" });
        result.createObjectStore("device", { autoIncrement: true }).add(device ?? "");
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error(`database ${name} is held open by an older page`));
    });
    const forget = (): void => {
      if (opened === opening) opened = undefined;
    };
    opening.then((database) => {
      database.onclose = forget;
      database.onversionchange = () => {
        forget();
        database.close();
      };
    }, forget);
    return (opened = opening);
  };

  const transact = async <T>(table: string, write: boolean, ask: (store: ObjectStore) => readonly Request<T>[]): Promise<T[]> => {
    const database = await (opened ?? open());
    return new Promise((resolve, reject) => {
      // Strict: a mutation that is told to be kept survives a power cut too, where the browser offers that.
      const durability = table === "mutations" ? "strict" : "relaxed";
      const transaction = database.transaction(table, write ? "readwrite" : "readonly", { durability });
      const requests = ask(transaction.objectStore(table));
      transaction.oncomplete = () => resolve(requests.map(({ result }) => result));
      transaction.onabort = () => reject(transaction.error ?? new Error(`database ${name}: the transaction was aborted`));
    });
  };

  /** One call after the other, so that one that is made again does not overtake those behind it. */
  const inTurn = <T>(table: string, write: boolean, ask: (store: ObjectStore) => readonly Request<T>[]): Promise<T[]> => {
    const turn = last.then(() =>
      transact(table, write, ask).catch((error: unknown) => {
        if (!lost.has((error as { name?: string } | null)?.name ?? "")) throw error;
        opened = undefined;
        return transact(table, write, ask);
      }),
    );
    last = turn.catch(() => {});
    return turn;
  };
  const all = async (table: string): Promise<unknown[]> => (await inTurn(table, false, (store) => [store.getAll()])).flat();

  return {
    durable: true,
    load: () => all("mutations") as Promise<Entry[]>,
    // (A seq that is there, whatever it is, would be taken.)
    add: async (entries) => (await inTurn("mutations", true, (store) => entries.map(({ seq: _, ...fresh }) => store.add(fresh)))) as number[],
    async put(entries) {
      await inTurn("mutations", true, (store) =>
        entries.map((entry) => {
          const request = store.openCursor(entry.seq);
          request.onsuccess = () => request.result?.update(entry);
          return request;
        }),
      );
    },
    remove: async (seq) => void (await inTurn("mutations", true, (store) => [store.delete(seq)])),
    device: async () => ((await all("device"))[0] as string) || undefined,
    recall: () => all("entities") as Promise<Entity[]>,
    async keep(entities) {
      await inTurn("entities", true, (store) => entities.map((entity) => (entity.data ? store.put(entity) : store.delete(entity.topic))));
    },
  };
}

/** Names of the errors of a connection that is no more: others would come again. */
const lost = new Set(["InvalidStateError", "UnknownError", "AbortError", "TransactionInactiveError"]);
