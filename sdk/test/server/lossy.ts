import { createServer, type Server } from "node:http";
import { onTestFinished } from "vitest";

/** The way to a hub on which answers get lost. */
export interface LossyWay {
  readonly url: string;
  /** How many requests have reached the hub. */
  readonly passed: () => number;
  /** So many answers are lost from now on: the hub gave them, and the connection breaks. */
  lose(answers: number): void;
}

/** Hands requests on to the hub at url, until the test ends. */
export async function lossyWay(url: string): Promise<LossyWay> {
  let lost = 0;
  let passed = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const headers = Object.fromEntries(["authorization", "content-type", "traceparent"].flatMap((name) => (request.headers[name] ? [[name, String(request.headers[name])]] : [])));
      const answer = await fetch(url + request.url, { method: request.method!, headers, ...(parts.length > 0 && { body: Buffer.concat(parts) }) });
      const text = await answer.text();
      passed++;
      if (lost-- > 0) return request.socket.destroy();
      response.writeHead(answer.status, { "Content-Type": answer.headers.get("Content-Type") ?? "" }).end(text);
    })();
  });
  return { url: await listening(server), passed: () => passed, lose: (answers) => (lost = answers) };
}

/** Has server listen on loopback until the test ends. Returns its origin. */
export async function listening(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return `http://127.0.0.1:${port}`;
}
