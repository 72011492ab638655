// Made by `roxy generate typescript` from JSON Schemas: change those and make it anew.

/** Somebody at a table wants to be asked what. */
export interface Call {
  table: number;
}

/** What a table has ordered. */
export interface Order {
  drink: string;
  status: "open" | "ready";
  table: number;
}

/** The data of events, by their type. */
export interface RoxyEvents {
  "call:waiter": Call;
}

/** Entities, by the pattern of their topics; of several that match, the most specific counts. */
export interface RoxyEntities {
  "orders/*": Order;
}
