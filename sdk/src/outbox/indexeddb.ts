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
 * loses connections ("Connection to Indexed Database server lost"): a call that fails is made once more on a new one.
 * Name it after the hub and the user, as each has its own mutations. A database that is made now is this device's.
 */
export function indexedDBStorage(databases: Databases, name: string, device?: string): Storage {
  let opened: Promise<Database> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const forget = (): void => void (opened = undefined);
  const open = (): Promise<Database> =>
    new Promise((resolve, reject) => {
      const request = databases.open(name, 1) as OpenRequest;
      request.onupgradeneeded = () => {
        const { result } = request;
        result.createObjectStore("mutations", { keyPath: "seq", autoIncrement: true });
        result.createObjectStore("entities", { keyPath: "topic" });
        result.createObjectStore("device", { autoIncrement: true }).add(device ?? "");
      };
      request.onsuccess = () => {
        const { result } = request;
        result.onclose = forget;
        result.onversionchange = () => {
          forget();
          result.close();
        };
        resolve(result);
      };
      request.onerror = () => reject(request.error);
    });

  type Ask<T> = (store: ObjectStore) => readonly Request<T>[];
  const transact = async <T>(table: string, mode: "readonly" | "readwrite", ask: Ask<T>): Promise<T[]> => {
    const database = await (opened ??= open());
    return new Promise((resolve, reject) => {
      // Strict: a mutation that is told to be kept survives a power cut too, where the browser offers that.
      const transaction = database.transaction(table, mode, { durability: table === "mutations" ? "strict" : "relaxed" });
      const requests = ask(transaction.objectStore(table));
      transaction.oncomplete = () => resolve(requests.map(({ result }) => result));
      transaction.onabort = () => reject(transaction.error);
    });
  };

  /** One call after the other, so that one that is made again does not overtake those behind it. */
  const inTurn = <T>(table: string, mode: "readonly" | "readwrite", ask: Ask<T>): Promise<T[]> => {
    const call = (): Promise<T[]> => transact(table, mode, ask);
    const turn = last.then(() => call().catch(() => (forget(), call())));
    last = turn.catch(() => {});
    return turn;
  };
  const all = async (table: string): Promise<unknown[]> => (await inTurn(table, "readonly", (store) => [store.getAll()])).flat();
  const write = <T>(table: string, ask: Ask<T>): Promise<T[]> => inTurn(table, "readwrite", ask);

  return {
    durable: true,
    load: () => all("mutations") as Promise<Entry[]>,
    // (A seq that is there, whatever it is, would be taken.)
    add: (entries) => write("mutations", (store) => entries.map(({ seq: _, ...fresh }) => store.add(fresh))) as Promise<number[]>,
    async put(entries) {
      await write("mutations", (store) =>
        entries.map((entry) => {
          const request = store.openCursor(entry.seq);
          request.onsuccess = () => request.result?.update(entry);
          return request;
        }),
      );
    },
    remove: async (seq) => void (await write("mutations", (store) => [store.delete(seq)])),
    device: async () => ((await all("device"))[0] as string) || undefined,
    recall: () => all("entities") as Promise<Entity[]>,
    async keep(entities) {
      await write("entities", (store) => entities.map((entity) => (entity.data ? store.put(entity) : store.delete(entity.topic))));
    },
  };
}
