// The outbox's storage in a browser. Its IndexedDB types are few and its own, because this is compiled without the DOM's.
import type { Entry, Storage } from "./storage.ts";

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
interface ObjectStore {
  getAll(): Request<unknown[]>;
  add(value: unknown): Request<unknown>;
  put(value: unknown): Request<unknown>;
  delete(key: number): Request<unknown>;
}
interface Transaction {
  readonly error: unknown;
  objectStore(name: string): ObjectStore;
  oncomplete: unknown;
  onabort: unknown;
}
interface Database {
  createObjectStore(name: string, options: { keyPath: string; autoIncrement: boolean }): unknown;
  transaction(name: string, mode: "readonly" | "readwrite", options?: { durability: "strict" }): Transaction;
  close(): void;
  onclose: unknown;
  onversionchange: unknown;
}

/** What is needed of globalThis.indexedDB. */
export interface Databases {
  open(name: string, version: number): unknown;
}

const table = "mutations";

/**
 * An outbox in IndexedDB. The database's own counter gives the seq: it goes on over removed entries and is one for all tabs. WebKit
 * loses connections ("Connection to Indexed Database server lost"): a call that meets a lost one is made once more on a new one.
 * Name it after the hub, the user and the device, as each has its own mutations.
 */
export function indexedDBStorage(databases: Databases, name: string): Storage {
  let opened: Promise<Database> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const open = (): Promise<Database> => {
    const opening = new Promise<Database>((resolve, reject) => {
      const request = databases.open(name, 1) as OpenRequest;
      request.onupgradeneeded = () => request.result.createObjectStore(table, { keyPath: "seq", autoIncrement: true });
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

  const transact = async <T>(mode: "readonly" | "readwrite", ask: (store: ObjectStore) => Request<T>): Promise<T> => {
    const database = await (opened ?? open());
    return new Promise((resolve, reject) => {
      // Strict: what is told to be kept survives a power cut too, where the browser offers that.
      const transaction = database.transaction(table, mode, { durability: "strict" });
      const request = ask(transaction.objectStore(table));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error ?? new Error(`database ${name}: the transaction was aborted`));
    });
  };

  /** One call after the other, so that one that is made again does not overtake those behind it. */
  const inTurn = <T>(mode: "readonly" | "readwrite", ask: (store: ObjectStore) => Request<T>): Promise<T> => {
    const turn = last.then(() =>
      transact(mode, ask).catch((error: unknown) => {
        if (!lost.has((error as { name?: string } | null)?.name ?? "")) throw error;
        opened = undefined;
        return transact(mode, ask);
      }),
    );
    last = turn.catch(() => {});
    return turn;
  };

  return {
    durable: true,
    load: async () => (await inTurn("readonly", (store) => store.getAll())) as Entry[],
    add: async (entry) => {
      const { seq: _, ...fresh } = entry as Entry; // a seq that is there, whatever it is, would be taken
      return (await inTurn("readwrite", (store) => store.add(fresh))) as number;
    },
    put: async (entry) => void (await inTurn("readwrite", (store) => store.put(entry))),
    remove: async (seq) => inTurn("readwrite", (store) => store.delete(seq)) as Promise<void>,
  };
}

/** Names of the errors of a connection that is no more: others would come again. */
const lost = new Set(["InvalidStateError", "UnknownError", "AbortError", "TransactionInactiveError"]);
