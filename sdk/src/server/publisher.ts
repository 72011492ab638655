import type { Publication, PublicationOf, Published } from "../core/client.ts";
import type { TokenSource } from "../core/calls.ts";
import { callHub, hubOf, type CallOptions } from "./calls.ts";
import { publicationOf, type EmitOptions } from "./emit.ts";
import { keyed, type WorkOptions } from "./keys.ts";

/** Which hub, who publishes, and where what is emitted goes. */
export interface PublisherOptions<Events extends object = Record<string, unknown>> {
  /** The hub's public address, absolute; a path is kept as a prefix. */
  readonly url: string;
  /** A token, or who gives one before each attempt of a call; what is published is published by its user. */
  readonly token: string | TokenSource;
  /** Where events go that are emitted without a topic, by their type: `{ "order:new": (order) => `orders/${order.id}` }`. */
  readonly topics?: { readonly [Type in keyof Events]?: string | ((data: Events[Type]) => string) };
}

/** How something is sent. */
export type SendOptions = CallOptions & WorkOptions;

/** What a ticket opens, for 30 s and once: `GET /v1/stream?ticket=…` or `GET /v1/ws?ticket=…`. */
export interface Ticket {
  readonly ticket: string;
  readonly expires: string;
}

/**
 * Publishes from a server, in Node or an edge runtime. It holds no connection and no state: make one for the app, or one for each
 * request with its user's token. Calls are repeated, under the same keys and with growing waits, while the network or the hub is in
 * trouble, half a minute on average, and fail with a RoxyProblem.
 */
export interface Publisher<Events extends object = Record<string, unknown>> {
  publish(publication: PublicationOf<Events>, options?: SendOptions): Promise<Published>;
  /** Publishes all or none, in order. */
  publishAll(publications: readonly PublicationOf<Events>[], options?: SendOptions): Promise<readonly Published[]>;
  /** Publishes data under its type, with the options of hand-rolled broadcasters. */
  emit<Type extends keyof Events & string>(type: Type, data: Events[Type], options?: EmitOptions & SendOptions): Promise<Published>;
  /** Buys a ticket that lets a page of this publisher's user connect where it can send no header. */
  ticket(options?: CallOptions): Promise<Ticket>;
}

/** Returns a publisher to the hub at options.url. Events are typed by what `roxy generate typescript` writes. */
export function createPublisher<Events extends object = Record<string, unknown>>(options: PublisherOptions<Events>): Publisher<Events> {
  const hub = hubOf(options);

  const send = async (publications: readonly Publication[], { work, ...how }: SendOptions = {}): Promise<readonly Published[]> => {
    if (publications.length === 0) return [];
    const body = await keyed(publications, work);
    const once = body.some(({ ephemeral }) => ephemeral); // nothing protects those from doubling
    const answer = await callHub(hub, { method: "POST", path: "/v1/events", body }, how, once);
    return (answer as { events: Published[] }).events;
  };

  return {
    publish: async (publication, how) => (await send([publication as Publication], how))[0]!,
    publishAll: (publications, how) => send(publications as readonly Publication[], how),
    async emit(type, data, { work, signal, traceparent, ...said } = {}) {
      const where = said.topic ?? options.topics?.[type];
      const publication = publicationOf(type, typeof where === "function" ? where(data) : where, data, said);
      return (await send([publication], { ...(work !== undefined && { work }), ...(signal && { signal }), ...(traceparent !== undefined && { traceparent }) }))[0]!;
    },
    ticket: async (how) => (await callHub(hub, { method: "POST", path: "/v1/tickets" }, how)) as Ticket,
  };
}
