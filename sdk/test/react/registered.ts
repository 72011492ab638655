// What an app writes once it has registered its types. Compiled against the built package and not run: types.test.ts.
import {
  useClient,
  useCollection,
  useEnhancedSSE,
  useEntities,
  useEntity,
  useEvent,
  useMutation,
  useSSE,
  type RegisteredEntities,
  type RegisteredEvents,
} from "@roxy/sdk/react";

// As `roxy generate typescript` writes it.
interface Order {
  table: number;
  note?: string;
  lines: { product: string; quantity: number }[];
}
interface RoxyEvents {
  "order:new": Order;
  "order:paid": { cents: number };
}
interface RoxyEntities {
  "orders/*": Order;
  "tables/*": { seats: number };
}

declare module "@roxy/sdk/react" {
  interface Register {
    events: RoxyEvents;
    entities: RoxyEntities;
  }
}

export const registered = (events: RegisteredEvents, entities: RegisteredEntities): [RoxyEvents, RoxyEntities] => [events, entities];

export function Events(): void {
  const { subscribe, lastEvent } = useSSE();
  subscribe("order:new", ({ table, lines }) => [table.toFixed(), lines[0]?.product.length]);
  subscribe("order:paid", (data: { cents: number }) => data.cents);
  // @ts-expect-error the type is misspelt
  subscribe("order:nwe", () => {});
  // @ts-expect-error a field is misspelt
  subscribe("order:new", ({ tabel }) => tabel);
  // @ts-expect-error the data are another type's
  subscribe("order:new", (data: { cents: number }) => data);
  if (lastEvent?.type === "order:paid") lastEvent.data.cents.toFixed();
  // @ts-expect-error which type it is nobody knows yet
  void lastEvent?.data.cents;

  useEvent("order:new", ({ data, topic, type }) => [data.table, topic, type satisfies "order:new"], { topic: "orders/*" });
  useEvent("*", ({ data }) => data);
  // @ts-expect-error the type is misspelt
  useEvent("order:nwe", () => {});
  // @ts-expect-error a field is misspelt
  useEvent("order:new", ({ data }) => data.tabel);
  useClient().subscribe("order:paid", ({ data }) => data.cents);
  // @ts-expect-error the client knows the types too
  void useClient().publish({ topic: "orders/7", type: "order:paid", data: { table: 7 } });
}

export function Enhanced(): void {
  const { notifications, mutate, bulk, subscribe, data } = useEnhancedSSE({
    clientId: "kitchen-1",
    userRole: "KITCHEN",
    topics: ["orders/*"],
    initial: { data: [1, 2], cursor: "e.7" },
    load: async () => ({ data: [3], cursor: "e.9" }),
    onNotification: (n) => (n.type === "order:new" ? n.data.table : n.data.cents),
  });
  data?.map((n) => n.toFixed());
  notifications.map(({ id, type }) => [id.length, type satisfies "order:new" | "order:paid"]);
  // @ts-expect-error the type is misspelt
  subscribe("order:nwe", () => {});
  mutate({ op: "patch", topic: "orders/7", patch: { table: 8, note: null }, guard: "version" });
  bulk([
    { op: "put", topic: "tables/1", data: { seats: 4 } },
    { op: "delete", topic: "orders/7" },
  ]);
  bulk([{ op: "patch", topic: "tables/1", patch: { seats: 5 } }], { atomic: true });
  // @ts-expect-error a field of the patch is misspelt
  mutate({ op: "patch", topic: "orders/7", patch: { tabel: 8 } });
  // @ts-expect-error no such topic
  mutate({ op: "delete", topic: "oders/7" });
  // @ts-expect-error a field is missing
  mutate({ op: "put", topic: "tables/1", data: {} });
  // @ts-expect-error the option is misspelt
  useEnhancedSSE({ onNotify: () => {} });
}

export function Screens(id: string): void {
  const { data, version, pending } = useEntity(`orders/${id}`);
  void [data?.table.toFixed(), version.toFixed(), pending.join()];
  useCollection("orders/*").map(({ topic, data }) => [topic, data?.lines.length]);
  // @ts-expect-error a field is misspelt
  void data?.tabel;
  // @ts-expect-error no such topic
  useEntity("oders/7");
  // @ts-expect-error no such pattern
  useCollection("oders/*");
  // @ts-expect-error a table has seats
  void useEntity("tables/1").data?.lines;
  useEntities().entity("orders/7").get().data?.table.toFixed();
}

export function Edits(): void {
  const { put, patch, delete: remove, troubled, resolve } = useMutation({
    onConflict: ({ problem }) => (problem.fields?.includes("note") ? "mine" : "theirs"),
    onRefused: ({ problem, topic }) => [problem.code, topic].join(),
    onCommitted: ({ version }) => version.toFixed(),
  });
  void patch("orders/7", { note: null }).settled;
  put("tables/1", { seats: 4 });
  remove("orders/7");
  const { atomic } = useMutation();
  void atomic((draft) => {
    draft.patch("orders/7", { table: 8 });
    draft.put("tables/8", { seats: 2 });
    // @ts-expect-error a field of the patch is misspelt
    draft.patch("orders/8", { tabel: 8 });
  }).settled;
  for (const { id } of troubled) resolve(id, { merge: { note: "both" } });
  // @ts-expect-error a field of the patch is misspelt
  patch("orders/7", { tabel: 8 });
  // @ts-expect-error a table is always at hand
  patch("orders/7", { table: null });
  // @ts-expect-error no such topic
  patch("oders/7", { table: 8 });
  // @ts-expect-error a field is missing
  put("orders/7", { table: 8 });
  // @ts-expect-error no such decision
  useMutation({ onConflict: () => "yours" });
}
