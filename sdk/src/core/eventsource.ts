import type { EventSourceLike } from "./platform.ts";
import { garbled, parsed, RoxyProblem, unreachable } from "./problem.ts";
import { streamQuery, ticketQuery, type Transport } from "./transport.ts";

const CONTROL = ["hello", "entity", "receipt", "ack", "presence", "reset", "live", "heartbeat", "bye"].map((name) => `roxy:${name}`);
const ENTITY = ["entity:created", "entity:updated", "entity:deleted"];

/**
 * The native EventSource, for places whose fetch does not stream. It hears only the types that are listened to, and cannot
 * tell why it was refused. It never reconnects by itself here: that would be an attempt beside the one chokepoint, and with
 * a used ticket.
 */
export const eventSource: Transport = {
  name: "eventsource",
  usable: (platform) => !!platform.eventSource,
  open(request, sink) {
    let over = false;
    let source: EventSourceLike | undefined;
    const heard = new Set<string>();
    let opened = false;
    let last: string | undefined; // an event without an id has that of the one before it

    const hear = (type: string): void => {
      if (heard.has(type)) return;
      heard.add(type);
      source?.addEventListener(type, (event) => {
        sink.alive();
        const data = parsed(event.data);
        const id = event.lastEventId !== "" && event.lastEventId !== last ? event.lastEventId : undefined;
        last = event.lastEventId;
        if (data === undefined) return sink.ended({ problem: garbled(`${type} is not JSON`) });
        sink.blocks([{ event: type, id, data }]);
      });
    };

    void (async () => {
      const ticket = await ticketQuery(request);
      if (over) return;
      source = request.platform.eventSource!(`${request.url}/v1/stream?${streamQuery(request)}${ticket && `&${ticket}`}`, {
        withCredentials: request.credentials === "include",
      });
      for (const type of [...CONTROL, ...ENTITY, "message", ...request.heard()]) hear(type);
      source.onopen = () => {
        opened = true;
        sink.alive();
      };
      source.onerror = () => sink.ended(opened ? {} : { problem: new RoxyProblem("network", 0, "the EventSource did not open") });
    })().catch((error: unknown) => sink.ended({ problem: unreachable(error) }));

    return {
      close() {
        over = true;
        source?.close();
      },
      hear(type) {
        if (source) hear(type);
      },
    };
  },
};
