import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { expect, test } from "vitest";
import { createPublisher, problemResponse, RoxyProblem, verifyWebhook } from "../../src/server.ts";
import { until } from "../client.ts";
import { startHub } from "../hub.ts";
import { listening } from "./lossy.ts";

const [OLD, NEW] = [`whsec_${randomBytes(32).toString("base64")}`, "a secret of plain bytes, long enough"];

interface Signing {
  secret?: string;
  body?: string;
  age?: number;
  headers?: Record<string, string | undefined>;
}

/** A request as the specification has it, signed by Node's own HMAC. */
function signed({ secret = OLD, body = '{"type":"roxy:unacked"}', age = 0, headers = {} }: Signing = {}): Request {
  const timestamp = String(Math.floor(Date.now() / 1000) - age);
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
  const signature = `v1,${createHmac("sha256", key).update(`m-1.${timestamp}.${body}`).digest("base64")}`;
  const all = new Headers({ "webhook-id": "m-1", "webhook-timestamp": timestamp, "webhook-signature": signature });
  for (const [name, value] of Object.entries(headers)) value === undefined ? all.delete(name) : all.set(name, value.replace("SIGNATURE", signature));
  return new Request("https://app.example/dead-letters", { method: "POST", body, headers: all });
}

test("the hub's dead letter verifies with either of two secrets, and not with another", async () => {
  const requests: Request[] = [];
  const receiver = createServer((request, response) => {
    void (async () => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      requests.push(new Request("http://receiver", { method: "POST", headers: new Headers(request.headers as Record<string, string>), body: Buffer.concat(parts) }));
      response.writeHead(204).end();
    })();
  });
  const url = await listening(receiver);
  const hub = await startHub(`webhook: { url: "${url}/", secret: "${OLD}" }`);
  const app = createPublisher({ url: hub.url, token: hub.token({ sub: "app", roles: ["everything"] }) });
  const published = await app.emit("order:new", { table: 3 }, { topic: "orders/7", critical: true, correlationId: "party 3" });
  const request = await until(() => requests[0]);
  const other = `whsec_${randomBytes(32).toString("base64")}`;
  await expect(verifyWebhook(request.clone(), other)).rejects.toMatchObject({ status: 401 });
  expect(await verifyWebhook(request, [NEW, OLD])).toMatchObject({
    id: expect.stringMatching(/^[^.]+-\d+$/),
    type: "roxy:unacked",
    tenant: "default",
    correlation: "party 3",
    data: { event: published.cursor, topic: "orders/7", type: "order:new", by: "app", reason: "no-audience", targets: 0 },
  });
});

test.each<[string, Signing]>([
  ["a secret of plain bytes", { secret: NEW }],
  ["one signature among others", { headers: { "webhook-signature": "v1,AAAA v1a,AAAA v1,no/base64! SIGNATURE" } }],
  ["a minute of delay", { age: 60 }],
  ["a clock a minute ahead", { age: -60 }],
])("%s is taken", async (_, signing) => {
  expect(await verifyWebhook(signed(signing), [OLD, NEW])).toEqual({ id: "m-1", type: "roxy:unacked" });
});

test.each<[string, Signing, number, string]>([
  ["a signature by nobody", { secret: randomBytes(16).toString("hex") }, 401, "webhook-signature"],
  ["another id", { headers: { "webhook-id": "m-2" } }, 401, "webhook-signature"],
  ["a signature of another kind", { headers: { "webhook-signature": "v2,AAAA" } }, 401, "webhook-signature"],
  ["a signature behind too many others", { headers: { "webhook-signature": `${"v1,AAAA ".repeat(8)}SIGNATURE` } }, 401, "webhook-signature"],
  ["a request that was kept", { age: 301 }, 401, "webhook-timestamp"],
  ["a request from the future", { age: -302 }, 401, "webhook-timestamp"],
  ["a time that is none", { headers: { "webhook-timestamp": "now" } }, 400, "webhook-timestamp"],
  ["no id", { headers: { "webhook-id": undefined } }, 400, "webhook-id"],
  ["no signature", { headers: { "webhook-signature": undefined } }, 400, "webhook-signature"],
  ["a body without an end", { body: "x".repeat((1 << 20) + 1) }, 413, "body"],
  ["a body that is no JSON, by who has the secret", { body: "{" }, 400, "body"],
])("%s is refused", async (_, signing, status, member) => {
  const problem = await verifyWebhook(signed(signing), [OLD, NEW]).catch((error: unknown) => error);
  expect(problem).toBeInstanceOf(RoxyProblem);
  expect(problem).toMatchObject({ status, members: { member } });
  const answer = problemResponse(problem);
  expect(answer.status).toBe(status);
  expect(answer.headers.get("Content-Type")).toBe("application/problem+json");
  expect(await answer.json()).toMatchObject({ status, member, detail: expect.stringContaining(`${member}: `) });
});

test("a changed body is refused", async () => {
  const { headers } = signed();
  const changed = new Request("https://app.example", { method: "POST", headers, body: '{"type":"roxy:unacked" }' });
  await expect(verifyWebhook(changed, OLD)).rejects.toMatchObject({ status: 401 });
});

test.each<[string, string[], string]>([
  ["none", [], "secrets: want at least one"],
  ["a short one", [OLD, "short"], "secrets[1]: 5 bytes, want 24 to 64"],
  ["no Base64", ["whsec_!"], "secrets[0]: what follows whsec_ is not Base64"],
])("a secret that is %s is the app's mistake, and not printed", async (_, secrets, reason) => {
  await expect(verifyWebhook(signed(), secrets)).rejects.toThrow(new TypeError(reason));
  expect(() => problemResponse(new TypeError(reason))).toThrow(reason);
});
