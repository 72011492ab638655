// Made by `roxy generate typescript` from JSON Schemas: change those and make it anew.

export type AnyJSON = string | number | boolean | null | AnyJSON[] | {
  [name: string]: AnyJSON;
};

/** An amount in cents. */
export type Cents = number;

export type Empty = unknown;

export type Extended = Order & {
  by: string;
};

/**
 * What a table ordered.
 * A comment's end *\/ is harmless.
 */
export interface Order {
  ""?: "\"quoted\" </script>";
  "0"?: 1;
  anything?: unknown;
  /**
   * Ordered at
   * Format: date-time
   */
  at?: string;
  bag?: {
    [name: string]: unknown;
  };
  /** nested */
  guest?: {
    /** in years */
    age?: number;
    name: string;
  };
  /** given by the hub */
  readonly id?: string;
  labels?: {
    de?: string;
    [name: string]: string | undefined;
  };
  lines: {
    [name: string]: OrderLine;
  };
  list?: unknown[];
  "not-an-identifier"?: boolean;
  /** @deprecated */
  note?: string | null;
  nothing?: never;
  payment?: Payment;
  place?: [number, number, string?];
  point?: { x: 1; y: [true, null] };
  queue?: [string, ...number[]];
  scores?: {
    [name: string]: number;
  };
  sealed?: {
    [name: string]: never;
  };
  status: "open" | "paid" | null;
  table: number;
  tip?: Cents | null;
  total?: Cents;
  unsaid?: unknown;
  words?: (string | number)[];
}

export interface OrderLine {
  extras?: OrderLine[];
  product: string;
  quantity: number;
}

/** nested */
export interface OrderPropertiesGuest {
  /** in years */
  age?: number;
  name: string;
}

/** A union by its method. */
export type Payment = {
  last4: string;
  method: "card";
} | {
  given: Cents;
  method: "cash";
};

export interface Pointers {
  first?: {
    a?: OrderPropertiesGuest;
  };
  second?: PointersPropertiesFirst;
  undescribed: unknown;
}

export interface PointersPropertiesFirst {
  a?: OrderPropertiesGuest;
}

/** The data of events, by their type. */
export interface RoxyEvents {
  "nothing:known": Empty;
  "order:extended": Extended;
  "payment:refunded": Payment;
  "payment:taken": Payment;
  "tree": AnyJSON;
}

/** Entities, by the pattern of their topics; of several that match, the most specific counts. */
export interface RoxyEntities {
  "orders/*": Order;
  "pointers/**": Pointers;
}
