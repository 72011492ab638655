import "fake-indexeddb/auto";
import { describe, expect, test } from "vitest";
import { indexedDBStorage } from "../../src/outbox/indexeddb.ts";
import { type Entry, memoryStorage, type Storage } from "../../src/outbox/storage.ts";

const draft = (id: string): Entry => ({ seq: 0, id, topic: "orders/1", op: "patch", patch: { a: 1 }, guard: "fields", base: 3, state: "queued" });
let names = 0;

describe.each<[string, () => Storage]>([
  ["memory", memoryStorage],
  ["IndexedDB", () => indexedDBStorage(indexedDB, `outbox-${++names}`)],
])("storage in %s", (_, open) => {
  test("gives back what was added, in order", async () => {
    const storage = open();
    const [[a], [b]] = (await Promise.all([storage.add([draft("a")]), storage.add([draft("b")])])) as [[number], [number]];
    expect(b).toBeGreaterThan(a);
    expect(await storage.load()).toEqual([
      { ...draft("a"), seq: a },
      { ...draft("b"), seq: b },
    ]);
  });

  test("gives all entries of one call their seqs, in order", async () => {
    const storage = open();
    const [a, b] = (await storage.add([draft("a"), draft("b")])) as [number, number];
    expect(a).toBeGreaterThan(0);
    expect(b).toBeGreaterThan(a);
    await storage.put([{ ...draft("b"), seq: b, state: "sent" }, { ...draft("a"), seq: a, state: "sent" }]);
    expect((await storage.load()).map(({ id, state }) => [id, state])).toEqual([["a", "sent"], ["b", "sent"]]);
  });

  test("does not bring back what was removed", async () => {
    const storage = open();
    const [seq] = (await storage.add([draft("a")])) as [number];
    await storage.remove(seq);
    await storage.put([{ ...draft("a"), seq }]);
    expect(await storage.load()).toEqual([]);
  });

  test("never gives a seq twice, also of what was removed", async () => {
    const storage = open();
    const [first] = (await storage.add([draft("a")])) as [number];
    await storage.remove(first);
    expect((await storage.add([draft("b")]))[0]).toBeGreaterThan(first);
  });

  test("takes calls in the order in which they were made", async () => {
    const storage = open();
    const [seq] = (await storage.add([draft("a")])) as [number];
    void storage.put([{ ...draft("a"), seq, state: "sent" }]);
    void storage.put([{ ...draft("a"), seq, state: "committed", version: 4 }]);
    expect(await storage.load()).toEqual([{ ...draft("a"), seq, state: "committed", version: 4 }]);
    void storage.remove(seq);
    expect(await storage.load()).toEqual([]);
  });
});

describe("storage in IndexedDB", () => {
  test("keeps entries for the next page, and goes on counting", async () => {
    const [seq] = (await indexedDBStorage(indexedDB, "pages").add([draft("a")])) as [number];
    const next = indexedDBStorage(indexedDB, "pages");
    expect((await next.load()).map((e) => e.id)).toEqual(["a"]);
    expect((await next.add([draft("b")]))[0]).toBeGreaterThan(seq);
  });

  test("opens the database again when the browser lost it", async () => {
    const connections: IDBDatabase[] = [];
    const watched = {
      open(name: string, version: number) {
        const request = indexedDB.open(name, version);
        request.addEventListener("success", () => connections.push(request.result));
        return request;
      },
    };
    const storage = indexedDBStorage(watched, "lost");
    await storage.add([draft("a")]);
    connections[0]!.close(); // a transaction on it throws an InvalidStateError from now on
    await storage.add([draft("b")]);
    expect((await storage.load()).map((e) => e.id)).toEqual(["a", "b"]);
    expect(connections.length).toBe(2);
  });

  test("lets a newer page change the database", async () => {
    const storage = indexedDBStorage(indexedDB, "newer");
    await storage.add([draft("a")]);
    const deleted = new Promise((resolve, reject) => {
      const request = indexedDB.deleteDatabase("newer");
      request.onsuccess = resolve;
      request.onblocked = reject;
    });
    await deleted;
    expect(await storage.load()).toEqual([]);
  });

  test("says so when a write fails", async () => {
    const storage = indexedDBStorage({ open: (name: string) => indexedDB.open(name, -1) }, "refused");
    await expect(storage.add([draft("a")])).rejects.toThrow();
  });
});
