// What the screens make of orders and their lines: pure functions.
import type { View } from "@roxy/sdk/store";
import type { Line, Order, Station } from "../roxy.gen.ts";

export type LineView = View<Line>;
export type OrderView = View<Order>;
export type LineStatus = Line["status"];

/** Something that the hub, or what is pending, says is there. */
export type Known<T extends object> = View<T> & { readonly data: T };

/** Whether a view has data to show. */
export function known<T extends object>(view: View<T>): view is Known<T> {
  return view.data !== null && view.data !== undefined;
}

/** The lines of one order, in the order in which they were taken: their topics count time. */
export function linesOf(lines: readonly LineView[], order: string): readonly Known<Line>[] {
  return lines.filter(known).filter(({ data }) => data.order === order);
}

/** What the lines come to, in cents: without those that were cancelled, and without drafts when `fired`. */
export function total(lines: readonly Known<Line>[], { fired = false } = {}): number {
  return lines.reduce((sum, { data }) => (data.status === "cancelled" || (fired && data.status === "draft") ? sum : sum + data.quantity * data.price), 0);
}

/** What was fired together for one station. */
export interface Ticket {
  /** Tells tickets apart: the order and when it was fired. */
  readonly id: string;
  readonly order: string;
  readonly table: number;
  readonly firedAt: string;
  readonly lines: readonly Known<Line>[];
  /** The least advanced of its lines that are not cancelled. */
  readonly status: "new" | "preparing" | "ready";
  readonly accepted: boolean;
}

const STEPS = ["new", "preparing", "ready", "served"] as const;

/** The tickets that a station has to make or has ready, the oldest first. */
export function ticketsOf(lines: readonly LineView[], station: Station): readonly Ticket[] {
  const groups = new Map<string, Known<Line>[]>();
  for (const line of lines) {
    if (!known(line) || line.data.station !== station || line.data.status === "draft" || line.data.firedAt === undefined) continue;
    const id = `${line.data.order} ${line.data.firedAt}`;
    groups.set(id, [...(groups.get(id) ?? []), line]);
  }
  const tickets: Ticket[] = [];
  for (const [id, group] of groups) {
    const active = group.filter(({ data }) => data.status !== "cancelled");
    const step = Math.min(...active.map(({ data }) => STEPS.indexOf(data.status as (typeof STEPS)[number])));
    const status = STEPS[step];
    if (active.length === 0 || status === undefined || status === "served") continue;
    const { order, table, firedAt } = group[0]!.data;
    const accepted = active.every(({ data }) => data.status !== "new" || data.acceptedBy !== undefined);
    tickets.push({ id, order, table, firedAt: firedAt!, lines: group, status, accepted });
  }
  return tickets.sort((a, b) => a.firedAt.localeCompare(b.firedAt) || a.id.localeCompare(b.id));
}

/** How far an order is, for the plan of the tables. */
export function progress(lines: readonly Known<Line>[]): "empty" | "draft" | "waiting" | "ready" | "served" {
  const statuses = new Set(lines.map(({ data }) => data.status));
  if (statuses.has("ready")) return "ready";
  if (statuses.has("new") || statuses.has("preparing")) return "waiting";
  if (statuses.has("draft")) return "draft";
  return statuses.has("served") ? "served" : "empty";
}
