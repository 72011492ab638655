import { garbled, parsed, problemFrom, RoxyProblem, unreachable } from "./problem.ts";
import { once, type Block, type End, type Transport } from "./transport.ts";
import type { WebSocketLike } from "./platform.ts";

interface Down {
  event: string;
  id?: string;
  data?: unknown;
}

/** The stream over a WebSocket (docs/protocol.md §5): the same events and order, through proxies that hold answers back. */
export const webSocket: Transport = {
  name: "ws",
  usable: (platform) => !!platform.webSocket,
  open(request, sink) {
    let over = false;
    let opened = false;
    let socket: WebSocketLike | undefined;
    const told = once(sink, () => over);
    const end = (how: End): void => {
      told.ended(how);
      socket?.close();
    };

    const message = (text: string): void => {
      told.alive();
      const value = parsed(text);
      if (Array.isArray(value)) {
        return told.blocks((value as Down[]).map(({ event, id, data }): Block => ({ event, id, data: data ?? null })));
      }
      const answer = value as { ref?: string; ok?: boolean; problem?: unknown } | undefined;
      if (answer?.ok === false) end({ problem: problemFrom(answer.problem, 400) });
      else if (answer?.ok !== true) end({ problem: garbled("a message is neither events nor an answer") });
    };

    void (async () => {
      const ticket = request.tokened ? `?ticket=${encodeURIComponent(await request.ticket())}` : "";
      if (over) return;
      const url = `${request.platform.absolute(request.url).replace(/^http/, "ws").replace(/\/$/, "")}/v1/ws${ticket}`;
      socket = request.platform.webSocket!(url, "roxy.v1.json");
      socket.onopen = () => {
        if (over) return socket?.close();
        opened = true;
        told.alive();
        const { topics: topic, types, after, device, heartbeat } = request;
        const type = types.length > 0 ? types : undefined;
        const snapshot = request.snapshot || undefined;
        socket!.send(JSON.stringify({ op: "subscribe", ref: "1", topic, type, after, device, heartbeat, snapshot }));
      };
      socket.onmessage = (event: { data: unknown }) => message(String(event.data));
      // Node 20 tells nothing but an error of a handshake that failed.
      socket.onerror = socket.onclose = () => told.ended(opened ? {} : { problem: new RoxyProblem("network", 0, "the WebSocket did not open") });
    })().catch((error: unknown) => end({ problem: unreachable(error) }));

    return {
      close() {
        over = true;
        socket?.close();
      },
    };
  },
};
