// What people do in the bar, as changes of entities. Each is painted at once and sent when there is a network.
import type { Entities } from "@roxy/sdk/entities";
import { type Known, total } from "./model/orders.ts";
import type { Line, Order, PaymentMethod, Product, Station, Table } from "./roxy.gen.ts";
import type { RoxyEntities } from "./roxy.gen.ts";
import type { Round, Rounds } from "./rounds.ts";

type OrderTopic = `orders/${string}`;
type LineTopic = `lines/${string}`;

export interface House {
  /** Seats a party, and opens its order. */
  open(table: Known<Table>, guests: number): OrderTopic;
  /** Takes one more of a product: a line of its own, or one more of the same draft. */
  add(order: Known<Order>, lines: readonly Known<Line>[], product: Known<Product>): void;
  quantity(line: Known<Line>, quantity: number): void;
  note(line: Known<Line>, note: string): void;
  /** Forgets a draft; what was fired is cancelled, so that its station sees it. */
  remove(line: Known<Line>): void;
  /** Sends drafts to their stations, all at once. */
  fire(order: Known<Order>, drafts: readonly Known<Line>[]): void;
  serve(lines: readonly Known<Line>[]): void;
  bill(order: Known<Order>, method: PaymentMethod): void;
  reopen(order: Known<Order>): void;
  guests(order: Known<Order>, guests: number): void;
  free(table: Known<Table>): void;
  answer(call: string): void;
  accept(lines: readonly Known<Line>[]): void;
  start(lines: readonly Known<Line>[]): void;
  ready(lines: readonly Known<Line>[]): void;
  available(product: Known<Product>, available: boolean): void;
  /** Takes the money, and closes the order. */
  pay(order: Known<Order>, lines: readonly Known<Line>[], how: { method: PaymentMethod; tip: number }): void;
  receipt(order: Known<Order>): void;
}

/** Returns what user may do. What the role does not grant, the hub refuses. */
export function createHouse(entities: Entities<RoxyEntities>, rounds: Rounds, user: string): House {
  const now = (): string => new Date().toISOString();
  /** Names count time, so that lists by topic are in the order of taking; the rest keeps two tablets apart. */
  const id = (): string => `${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
  const step = (lines: readonly Known<Line>[], patch: (line: Known<Line>) => Partial<Line>, type: string): void => {
    if (lines.length === 0) return;
    entities.atomic((draft) => {
      for (const line of lines) draft.patch(line.topic as LineTopic, patch(line), { type });
    });
  };

  return {
    open(table, guests) {
      const order: OrderTopic = `orders/${id()}`;
      const { number } = table.data;
      entities.atomic((draft) => {
        draft.put(order, { table: number, waiter: user, status: "open", guests, openedAt: now() }, { type: "order:opened" });
        draft.patch(`tables/${number}`, { status: "seated", guests, waiter: user, order, seatedAt: now() }, { type: "order:opened" });
      });
      return order;
    },
    add(order, lines, product) {
      const name = product.topic.slice("products/".length);
      const same = lines.find(({ data }) => data.product === name && data.status === "draft" && data.note === undefined && data.by === user);
      if (same) return void entities.patch(same.topic as LineTopic, { quantity: same.data.quantity + 1 }, { type: "line:changed" });
      const { table } = order.data;
      const { station, price } = product.data;
      entities.put(`lines/${id()}`, { order: order.topic, table, product: name, station, quantity: 1, status: "draft", price, by: user }, { type: "line:added" });
    },
    quantity: (line, quantity) => void entities.patch(line.topic as LineTopic, { quantity }, { type: "line:changed" }),
    note: (line, note) => void entities.patch(line.topic as LineTopic, { note: note.trim() || null }, { type: "line:changed" }),
    remove(line) {
      if (line.data.status === "draft") entities.delete(line.topic as LineTopic, { type: "line:removed" });
      else entities.patch(line.topic as LineTopic, { status: "cancelled" }, { type: "line:cancelled" });
    },
    fire(order, drafts) {
      const firedAt = now();
      step(drafts, () => ({ status: "new", firedAt }), "line:fired");
      const roundOf = (station: Station): Round[] => {
        const items = drafts
          .filter(({ data }) => data.station === station)
          .map(({ data: { product, quantity, price, note } }) => ({ product, quantity, price, ...(note !== undefined && { note }) }));
        return items.length > 0 ? [{ order: order.topic as OrderTopic, firedAt, data: { table: order.data.table, station, items, firedAt } }] : [];
      };
      rounds.add([...roundOf("kitchen"), ...roundOf("counter")]);
    },
    serve: (lines) => step(lines, () => ({ status: "served" }), "line:served"),
    bill(order, method) {
      entities.atomic((draft) => {
        draft.patch(order.topic as OrderTopic, { status: "bill", billAt: now(), method }, { type: "order:bill" });
        draft.patch(`tables/${order.data.table}`, { status: "bill" }, { type: "order:bill" });
      });
    },
    reopen(order) {
      entities.atomic((draft) => {
        draft.patch(order.topic as OrderTopic, { status: "open", billAt: null, method: null }, { type: "order:reopened" });
        draft.patch(`tables/${order.data.table}`, { status: "seated" }, { type: "order:reopened" });
      });
    },
    guests: (order, guests) => void entities.patch(order.topic as OrderTopic, { guests }, { type: "table:changed" }),
    free: (table) => {
      const gone = { status: "free", guests: null, waiter: null, order: null, seatedAt: null, mergedWith: null } as const;
      entities.patch(`tables/${table.data.number}`, gone, { type: "table:freed" });
    },
    answer: (call) => void entities.delete(call as `calls/${string}`, { type: "call:answered" }),
    accept: (lines) => step(lines, () => ({ acceptedBy: user }), "line:accepted"),
    start: (lines) => step(lines, ({ data }) => ({ status: "preparing", ...(data.acceptedBy === undefined && { acceptedBy: user }) }), "line:started"),
    ready(lines) {
      const readyAt = now();
      step(lines, () => ({ status: "ready", readyAt }), "line:ready");
    },
    available: (product, available) =>
      void entities.patch(product.topic as `products/${string}`, { available }, { type: available ? "product:back" : "product:sold-out" }),
    pay(order, lines, { method, tip }) {
      const name = order.topic.slice("orders/".length);
      const amount = total(lines, { fired: true });
      entities.atomic((draft) => {
        draft.put(
          `payments/${name}`,
          { table: order.data.table, order: order.topic, amount, status: "taken", method, tip, takenBy: user, takenAt: now() },
          { type: "payment:taken" },
        );
        draft.patch(order.topic as OrderTopic, { status: "paid", payment: `payments/${name}` }, { type: "order:paid" });
      });
    },
    receipt(order) {
      const name = order.topic.slice("orders/".length);
      const payment = entities.entity(`payments/${name}`).get().data;
      if (!payment) return;
      const { amount, tip, method } = payment;
      entities.put(
        `receipts/${name}`,
        {
          table: order.data.table,
          order: order.topic,
          payment: `payments/${name}`,
          total: amount,
          waiter: order.data.waiter,
          issuedAt: now(),
          ...(tip !== undefined && { tip }),
          ...(method !== undefined && { method }),
        },
        { type: "receipt:issued" },
      );
    },
  };
}
