// How things are called on the screens, so that the same thing is called the same everywhere.
import type { Entry } from "@roxy/sdk/outbox";
import type { LineStatus } from "./orders.ts";
import type { Role } from "../backend.ts";

export const ROLES: Readonly<Record<Role, string>> = { waiter: "Waiter", kitchen: "Kitchen", counter: "Counter", till: "Till", manager: "Manager" };

export const LINE: Readonly<Record<LineStatus, string>> = {
  draft: "On the pad",
  new: "Sent",
  preparing: "Preparing",
  ready: "Ready",
  served: "Served",
  cancelled: "Cancelled",
};

/** The types of the app's mutations, as their author would tell them. */
const DEEDS: Readonly<Record<string, string>> = {
  "order:opened": "Open the table",
  "order:bill": "Request the bill",
  "order:reopened": "Take the bill back",
  "order:paid": "Take the payment",
  "line:added": "Add to the order",
  "line:changed": "Change a line",
  "line:removed": "Remove a line",
  "line:fired": "Send the order",
  "line:accepted": "Confirm a ticket",
  "line:started": "Start a ticket",
  "line:ready": "Finish a ticket",
  "line:served": "Serve",
  "line:cancelled": "Cancel a line",
  "table:changed": "Change the table",
  "table:freed": "Free the table",
  "call:answered": "Answer a call",
  "call:placed": "Place a call",
  "product:sold-out": "Mark as sold out",
  "product:back": "Mark as available",
  "payment:taken": "Take the payment",
  "receipt:issued": "Issue the receipt",
};

/** What a mutation was to do. */
export function deed(entry: Entry): string {
  return (entry.type && DEEDS[entry.type]) ?? `${entry.op} ${entry.topic}`;
}

const FIELDS: Readonly<Record<string, string>> = {
  quantity: "Quantity",
  note: "Note",
  status: "Status",
  guests: "Guests",
  available: "Available",
  method: "Paid by",
  waiter: "Waiter",
  acceptedBy: "Confirmed by",
};

export function field(name: string): string {
  return FIELDS[name] ?? name;
}

/** A field's value for a person. */
export function value(it: unknown): string {
  if (it === undefined || it === null || it === "") return "none";
  if (it === true) return "yes";
  if (it === false) return "no";
  if (typeof it === "string") return LINE[it as LineStatus] ?? it;
  return String(it);
}

/** Minutes since a time, in words that a screen reader says well. */
export function since(time: string | undefined, now: number): string {
  if (time === undefined) return "";
  const minutes = Math.max(0, Math.floor((now - Date.parse(time)) / 60_000));
  return minutes === 0 ? "now" : minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}
