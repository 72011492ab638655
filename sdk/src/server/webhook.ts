import { RoxyProblem } from "../core/problem.ts";
import { bodyOf, concat } from "./body.ts";

/** A critical event that ended unconfirmed (docs/protocol.md §7). */
export interface DeadLetter {
  /** The cursor of the event. */
  readonly event: string;
  readonly topic: string;
  readonly type: string;
  readonly by?: string;
  readonly time: string;
  readonly ack: { readonly by: "any" | "user" | "device"; readonly within: string; readonly attempts: number };
  readonly reason: "attempts" | "ttl" | "retention" | "no-audience";
  readonly attempt: number;
  /** How many devices and users had to confirm it; of either list below at most a hundred are named. */
  readonly targets: number;
  readonly confirmed: readonly { readonly device: string; readonly user: string }[];
  readonly unconfirmed: readonly { readonly device?: string; readonly user: string }[];
}

/** What the hub's webhook posts. */
export interface WebhookMessage {
  /** The same for each repetition of the same letter: who has handled it answers 2xx and does nothing. */
  readonly id: string;
  readonly type: "roxy:unacked";
  readonly tenant: string;
  /** The cursor of the dead letter. */
  readonly cursor: string;
  readonly correlation?: string;
  readonly timestamp: string;
  readonly data: DeadLetter;
}

/** How old, or how far ahead, a request's timestamp may be, in seconds; as Standard Webhooks suggest. */
const WINDOW = 300;
/** Bounds a body, in bytes: sixteen times what an event may have. */
const LARGEST = 1 << 20;
/** Bounds the signatures of one request: the hub sends one, and each costs as many comparisons as there are secrets. */
const SIGNATURES = 8;

/**
 * Returns what the hub's webhook says in a request, whose body it reads, once its signature (Standard Webhooks) is that of one of the
 * secrets: give the old and the new one while they are exchanged. Throws a RoxyProblem with the status to answer: 400 when it is no
 * such request, 401 when the signature or the time does not fit, 413. A letter comes at least once: tell repetitions by `id`.
 */
export async function verifyWebhook(request: Request, secrets: string | readonly string[]): Promise<WebhookMessage> {
  const keys = [secrets].flat().map(keyOf); // before the request says anything: a wrong secret is ours
  if (keys.length === 0) throw new TypeError("secrets: want at least one");
  const id = headerOf(request, "webhook-id");
  const timestamp = headerOf(request, "webhook-timestamp");
  const signatures = headerOf(request, "webhook-signature").split(" ", SIGNATURES);
  if (!/^\d{1,12}$/.test(timestamp)) throw refusal(400, "webhook-timestamp", "want seconds since 1970");
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > WINDOW) throw refusal(401, "webhook-timestamp", `more than ${WINDOW} s from now`);
  const body = await bodyOf(request, LARGEST);
  const signed = concat([new TextEncoder().encode(`${id}.${timestamp}.`), body]);
  if (!(await fits(signed, signatures, keys))) throw refusal(401, "webhook-signature", "no signature of a known secret");
  try {
    const message = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) as Omit<WebhookMessage, "id">;
    return { ...message, id };
  } catch {
    throw refusal(400, "body", "not JSON");
  }
}

/** Reports whether one of the signatures is that of one of the keys. The comparisons are WebCrypto's, which take as long for any. */
async function fits(signed: Uint8Array<ArrayBuffer>, signatures: readonly string[], keys: readonly Uint8Array<ArrayBuffer>[]): Promise<boolean> {
  const given = signatures.flatMap((signature) => (signature.startsWith("v1,") ? (bytesOf(signature.slice(3)) ?? []) : []));
  let found = false;
  for (const key of keys) {
    const hmac = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    for (const signature of given) if (await crypto.subtle.verify("HMAC", hmac, signature, signed)) found = true;
  }
  return found;
}

/** Returns the key of a secret as the hub's configuration has it: `whsec_` and Base64, or 24 to 64 bytes. No error holds it. */
function keyOf(secret: string, place: number): Uint8Array<ArrayBuffer> {
  const key = secret.startsWith("whsec_") ? bytesOf(secret.slice("whsec_".length)) : new TextEncoder().encode(secret);
  if (!key) throw new TypeError(`secrets[${place}]: what follows whsec_ is not Base64`);
  if (key.length < 24 || key.length > 64) throw new TypeError(`secrets[${place}]: ${key.length} bytes, want 24 to 64`);
  return key;
}

/** Returns the bytes that Base64 spells; undefined when it spells none. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function headerOf(request: Request, name: string): string {
  const value = request.headers.get(name);
  if (!value) throw refusal(400, name, "the header is missing");
  return value;
}

function refusal(status: 400 | 401, member: string, reason: string): RoxyProblem {
  return new RoxyProblem(status === 400 ? "invalid-parameter" : "unauthenticated", status, `${member}: ${reason}`, 0, { member });
}
