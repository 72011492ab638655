import type { WebSocketLike } from "./platform.ts";
import { garbled, parsed, problemFrom, RoxyProblem, unreachable } from "./problem.ts";
import { ticketQuery, type Block, type End, type Transport } from "./transport.ts";

/** The stream over a WebSocket (docs/protocol.md §5): the same events and order, through proxies that hold answers back. */
export const webSocket: Transport = {
  name: "ws",
  usable: (platform) => !!platform.webSocket,
  open(request, sink) {
    const { platform, topics: topic, types: type, after, device, heartbeat, snapshot } = request;
    let over = false;
    let socket: WebSocketLike | undefined;
    let how: End = { problem: new RoxyProblem("network", 0, "the WebSocket did not open") };

    const message = (value: unknown): void => {
      sink.alive();
      if (Array.isArray(value)) return sink.blocks(value as Block[]);
      const { ok, problem }: { ok?: boolean; problem?: unknown } = Object(value);
      if (!ok) sink.ended({ problem: problem ? problemFrom(problem, 400) : garbled("a message is neither events nor an answer") });
    };

    void (async () => {
      const ticket = await ticketQuery(request);
      if (over) return;
      socket = platform.webSocket!(`${platform.absolute(`${request.url}/v1/ws`).replace(/^http/, "ws")}${ticket && `?${ticket}`}`, "roxy.v1.json");
      socket.onopen = () => {
        how = {};
        sink.alive();
        socket!.send(JSON.stringify({ op: "subscribe", ref: "1", topic, type, after, device, heartbeat, snapshot }));
      };
      socket.onmessage = (event: { data: unknown }) => message(parsed(String(event.data)));
      // Node 20 tells nothing but an error of a handshake that failed.
      socket.onerror = socket.onclose = () => sink.ended(how);
    })().catch((error: unknown) => sink.ended({ problem: unreachable(error) }));

    return {
      close() {
        over = true;
        socket?.close();
      },
    };
  },
};
