// Made by `roxy generate typescript` from JSON Schemas: change those and make it anew.

/** Somebody at a table wants something. */
export interface Call {
  answeredBy?: User;
  /**
   * when the button was pressed
   * Format: date-time
   */
  since?: string;
  table: TableNumber;
  wants: "waiter" | "bill";
}

/** Somebody at a table wants something, or was asked what. */
export interface CallEvent {
  table: TableNumber;
}

/** An amount in whole cents: no rounding, no floats. */
export type Cents = number;

/** One product of an order, on its way from the waiter's pad to the table. */
export interface Line {
  /** who at the station confirmed that it was seen */
  acceptedBy?: User;
  /** who took it */
  by?: User;
  /** of one, to the bar; for the manager and the supervisor alone */
  cost?: Cents;
  /**
   * when it went to its station: what was fired together is one ticket
   * Format: date-time
   */
  firedAt?: string;
  /** what the guest wants otherwise: no ice */
  note?: string;
  /** the topic of the order */
  order: string;
  /** of one, as on the menu when it was ordered */
  price: Cents;
  product: ProductName;
  quantity: number;
  /**
   * when the station was done
   * Format: date-time
   */
  readyAt?: string;
  station: Station;
  /** draft until the waiter fires it */
  status: "draft" | "new" | "preparing" | "ready" | "served" | "cancelled";
  table: TableNumber;
}

/** What the manager or the supervisor tells somebody. */
export interface Note {
  by?: User;
  read?: boolean;
  /** in a sentence */
  text: string;
}

export interface NoteNew {
  /** in a sentence */
  text: string;
}

/** What a party orders at its table, until it has paid. Its lines are entities of their own: what two people change at the same time is no conflict when it is two entities, or two fields of one. */
export interface Order {
  /**
   * when the party asked to pay
   * Format: date-time
   */
  billAt?: string;
  /** Who ordered ahead. */
  customer?: {
    /** as the guest wants to be called */
    name?: string;
    /** for the manager and the supervisor alone */
    phone?: string;
  };
  guests?: number;
  /** how the party wants to pay */
  method?: PaymentMethod;
  /**
   * when the party sat down
   * Format: date-time
   */
  openedAt?: string;
  /** the topic of its payment, null until then */
  payment?: string | null;
  status: "open" | "bill" | "paid" | "cancelled";
  table: TableNumber;
  waiter: User;
}

/** Nobody is to make it any more. */
export interface OrderCancelled {
  /** why */
  note: string;
}

/** An order on its way to the table. */
export interface OrderDone {
  status: "ready" | "served";
}

/** A waiter sends an order to the station that makes it. */
export interface OrderNew {
  /**
   * what its lines, where they are entities, hold as firedAt
   * Format: date-time
   */
  firedAt?: string;
  items: OrderNewItem[];
  station: Station;
  table: TableNumber;
}

export interface OrderNewItem {
  /** what the guest wants otherwise: no ice */
  note?: string;
  /** of one */
  price: Cents;
  product: ProductName;
  quantity: number;
}

/** The station begins with it, or the waiter adds a wish. */
export interface OrderUpdated {
  /** what the guest wants otherwise */
  note?: string;
  status?: "preparing";
}

/** What a table owes, and how it was paid. */
export interface Payment {
  /** without the tip */
  amount: Cents;
  /** the last four of the card; for the till and the manager alone */
  cardDigits?: string;
  method?: PaymentMethod;
  /** the topic of the order */
  order?: string;
  status: "requested" | "taken";
  table: TableNumber;
  /**
   * when the money was there
   * Format: date-time
   */
  takenAt?: string;
  takenBy?: User;
  /** for the waiter */
  tip?: Cents;
}

export type PaymentMethod = "card" | "cash";

export interface PaymentRequested {
  /** without the tip */
  amount: Cents;
  method: PaymentMethod;
  table: TableNumber;
}

export interface PaymentTaken {
  /** without the tip */
  amount: Cents;
  method: PaymentMethod;
  /** for the waiter */
  tip: Cents;
}

/** What can be ordered. */
export interface Product {
  allergens?: ("gluten" | "milk" | "eggs" | "nuts" | "fish" | "sulphites")[];
  available: boolean;
  /** to the bar; for the manager and the supervisor alone */
  cost?: Cents;
  /** as on the menu */
  name: string;
  /** as on the menu */
  price: Cents;
  station: Station;
}

/** The kitchen or the counter runs out of something, or has it again. */
export interface ProductAvailability {
  product: ProductName;
}

/** The last segment of the product's topic, such as moscow-mule. */
export type ProductName = string;

/** What the guest takes home. It never changes. */
export interface Receipt {
  /**
   * when it was printed
   * Format: date-time
   */
  issuedAt?: string;
  method?: PaymentMethod;
  /** the topic of the order */
  order?: string;
  /** the topic of the payment */
  payment: string;
  table: TableNumber;
  /** for the waiter */
  tip?: Cents;
  /** without the tip */
  total: Cents;
  /** who brings it */
  waiter?: User;
}

export interface ReceiptIssued {
  /** the topic of the payment */
  payment: string;
  table: TableNumber;
  /** without the tip */
  total: Cents;
}

/** Somebody's evening. */
export interface Shift {
  /**
   * when it began
   * Format: date-time
   */
  startedAt?: string;
  status: "working" | "break" | "ended";
  user: User;
  /** for an hour; for the manager alone */
  wage?: Cents;
}

/** Somebody begins, has a break, goes on or leaves. */
export interface ShiftEvent {
  user: User;
}

/** Who makes it. */
export type Station = "kitchen" | "counter";

/** A table and the party at it. */
export interface Table {
  guests?: number;
  /** the table it was pushed together with */
  mergedWith?: TableNumber;
  number: TableNumber;
  /** the topic of the order that is open at it */
  order?: string | null;
  /**
   * when the party sat down
   * Format: date-time
   */
  seatedAt?: string;
  status: "free" | "seated" | "bill";
  waiter?: User;
}

/** The party left. */
export interface TableCleared {
  [name: string]: never;
}

export interface TableMerged {
  with: TableNumber;
}

/** A party takes its orders to another table. */
export interface TableMoved {
  from: TableNumber;
  to: TableNumber;
}

/** The number that stands on the table. */
export type TableNumber = number;

export interface TableSeated {
  guests: number;
}

/** The sub of somebody's token, such as waiter-3. */
export type User = string;

/** The data of events, by their type. */
export interface RoxyEvents {
  "call:answered": CallEvent;
  "call:bill": CallEvent;
  "call:waiter": CallEvent;
  "note:new": NoteNew;
  "order:cancelled": OrderCancelled;
  "order:new": OrderNew;
  "order:ready": OrderDone;
  "order:served": OrderDone;
  "order:updated": OrderUpdated;
  "payment:requested": PaymentRequested;
  "payment:taken": PaymentTaken;
  "product:available": ProductAvailability;
  "product:unavailable": ProductAvailability;
  "receipt:issued": ReceiptIssued;
  "shift:break": ShiftEvent;
  "shift:ended": ShiftEvent;
  "shift:resumed": ShiftEvent;
  "shift:started": ShiftEvent;
  "table:cleared": TableCleared;
  "table:merged": TableMerged;
  "table:moved": TableMoved;
  "table:seated": TableSeated;
}

/** Entities, by the pattern of their topics; of several that match, the most specific counts. */
export interface RoxyEntities {
  "calls/*": Call;
  "lines/*": Line;
  "notes/*": Note;
  "orders/*": Order;
  "payments/*": Payment;
  "products/*": Product;
  "receipts/*": Receipt;
  "shifts/*": Shift;
  "tables/*": Table;
}
