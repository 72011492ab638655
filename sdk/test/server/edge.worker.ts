// What an edge function does, where there is fetch, WebCrypto, streams, and nothing of Node.
import { createPublisher, proxyStream, verifyWebhook } from "../../src/server.ts";

/** What the worker is told. */
export interface Order {
  readonly url: string;
  readonly token: string;
  readonly secret: string;
  readonly webhook: { readonly headers: Record<string, string>; readonly body: string };
}

/** What it has done. */
export interface Done {
  readonly globals: readonly string[];
  readonly duplicate: boolean | undefined;
  readonly data: readonly unknown[];
  readonly streamed: string;
  readonly type: string;
}

async function work({ url, token, secret, webhook }: Order): Promise<Done> {
  const app = createPublisher({ url, token });
  await app.emit("order:new", { table: 3 }, { topic: "orders/7", work: "w" });
  const { duplicate } = await app.emit("order:new", { table: 3 }, { topic: "orders/7", work: "w" });
  await app.mutate({ op: "put", topic: "orders/7", data: { table: 3 } });
  const { data } = await app.snapshot("orders/*");

  const answer = await proxyStream(new Request("https://app.example/v1/stream?topic=orders/*&after=earliest"), { url, token });
  const reader = answer.body!.getReader();
  const decoder = new TextDecoder();
  let streamed = "";
  while (!streamed.includes("roxy:live")) streamed += decoder.decode((await reader.read()).value, { stream: true });
  await reader.cancel();

  const { type } = await verifyWebhook(new Request("https://app.example", { method: "POST", ...webhook }), secret);
  return { globals: ["process", "Buffer", "require", "document"].filter((name) => name in globalThis), duplicate, data, streamed, type };
}

addEventListener("message", ({ data }: MessageEvent<Order>) => void work(data).then(postMessage, (error: unknown) => postMessage(String(error))));
