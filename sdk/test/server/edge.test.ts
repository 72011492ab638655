import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { openPage } from "../browser/chromium.ts";
import { startHub } from "../hub.ts";
import type { Done, Order } from "./edge.worker.ts";
import { listening } from "./lossy.ts";

test("it works where there is nothing of Node", async () => {
  const script = await build({ entryPoints: [join(import.meta.dirname, "edge.worker.ts")], bundle: true, write: false, platform: "neutral", target: "es2022", logLevel: "silent" });
  const site = createServer((_, response) => void response.setHeader("Content-Type", "text/html").end("<!doctype html><title>edge</title><link rel=icon href=data:,>"));
  const origin = await listening(site);
  const hub = await startHub(`cors: { origins: ["${origin}"] }`);
  const secret = "a secret of plain bytes, long enough";
  const [timestamp, body] = [String(Math.floor(Date.now() / 1000)), '{"type":"roxy:unacked"}'];
  const signature = `v1,${createHmac("sha256", secret).update(`m-1.${timestamp}.${body}`).digest("base64")}`;
  const order: Order = {
    url: hub.url,
    token: hub.token({ sub: "app", roles: ["everything"] }),
    secret,
    webhook: { body, headers: { "webhook-id": "m-1", "webhook-timestamp": timestamp, "webhook-signature": signature } },
  };
  const page = await openPage(origin);
  const done = await page.evaluate(
    ([text, order]) =>
      new Promise<Done | string>((resolve) => {
        const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
        worker.addEventListener("message", ({ data }: MessageEvent<Done | string>) => resolve(data));
        worker.addEventListener("error", ({ message }) => resolve(message));
        worker.postMessage(order);
      }),
    [script.outputFiles[0]!.text, order] as const,
  );
  expect(done).toMatchObject({ globals: [], duplicate: true, data: [{ topic: "orders/7", version: 1, data: { table: 3 } }], type: "roxy:unacked" });
  expect((done as Done).streamed).toContain("event: order:new");
});
