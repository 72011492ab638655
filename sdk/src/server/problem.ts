import { RoxyProblem } from "../core/problem.ts";

/**
 * Returns the answer that tells a browser of a refusal: problem+json with the refusal's status, 503 for one that had none. What is no
 * RoxyProblem is thrown again: that is the app's own.
 */
export function problemResponse(error: unknown): Response {
  if (!(error instanceof RoxyProblem)) throw error;
  const { code, message, retryAfter, members } = error;
  const status = error.status >= 400 ? error.status : 503;
  const headers = new Headers({ "Content-Type": "application/problem+json", "Cache-Control": "no-store" });
  if (retryAfter > 0) headers.set("Retry-After", String(Math.ceil(retryAfter / 1000)));
  return new Response(JSON.stringify({ detail: message.slice(`${code}: `.length), ...members, status, code }), { status, headers });
}
