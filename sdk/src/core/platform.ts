import type { Clock } from "./clock.ts";

/** What the core needs of where it runs. src/browser.ts reads it off the globals of browsers, workers and Node. */
export interface Platform {
  readonly clock: Clock;
  /** A number from 0 to less than 1. */
  random(): number;
  /** So many bytes that nobody can guess, in hexadecimal. */
  hex(bytes: number): string;
  /** Absent where there is none. */
  readonly fetch?: Fetch | undefined;
  /** Opens a native EventSource; absent where there is none. */
  readonly eventSource?: ((url: string, init: { withCredentials: boolean }) => EventSourceLike) | undefined;
  /** Opens a native WebSocket; absent where there is none. */
  readonly webSocket?: ((url: string, protocol: string) => WebSocketLike) | undefined;
  /** Makes a relative URL absolute. */
  absolute(url: string): string;
  abort(): Abort;
  decoder(): Decoder;
  /** Decodes base64 to a string of bytes. */
  base64(text: string): string;
  /** Tells of what happens to the page and its network until the function it returns is called. */
  watch(listener: (signal: Signal) => void): () => void;
  hidden(): boolean;
  offline(): boolean;
  /** Where errors of handlers go when the app does not say. */
  report(error: unknown): void;
}

/** `resume`: the page was frozen; `pagehide`: it is left, and kept in the cache of pages or gone; `pageshow`: it comes back from there. */
export type Signal = "online" | "offline" | "visible" | "hidden" | "resume" | "pagehide" | "pageshow";

/** Whether the cookie goes along to other origins. */
export type Credentials = "include" | "omit" | "same-origin";

export type Fetch = (url: string, init: FetchInit) => Promise<Answer>;

export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: string | undefined;
  signal: unknown;
  credentials: Credentials;
  cache: "no-store";
  keepalive?: boolean | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { getReader(): Reader } | null;
  text(): Promise<string>;
}

export interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}

export interface Abort {
  readonly signal: unknown;
  abort(): void;
}

export interface Decoder {
  decode(bytes: Uint8Array, options: { stream: true }): string;
}

export interface EventSourceLike {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: { data: string; lastEventId: string }) => void): void;
  onopen: unknown;
  onerror: unknown;
  close(): void;
}

export interface WebSocketLike {
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  onclose: unknown;
  send(text: string): void;
  close(): void;
}
