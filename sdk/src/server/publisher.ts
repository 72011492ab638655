import type { Publication, PublicationOf, Published } from "../core/client.ts";
import type { TokenSource } from "../core/calls.ts";
import { RoxyProblem } from "../core/problem.ts";
import type { AnyEntities, EntityAt, TopicsOf } from "../entities.ts";
import { callHub, hubOf, pathOf, type CallOptions } from "./calls.ts";
import { publicationOf, type EmitOptions } from "./emit.ts";
import { keyed, type WorkOptions } from "./keys.ts";
import type { Mutated, MutationOf } from "./mutations.ts";
import { pages, type Found, type FoundAt, type Presence, type Receipts, type Snapshot } from "./reads.ts";

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
export interface Publisher<Events extends object = Record<string, unknown>, Entities extends object = AnyEntities> {
  publish(publication: PublicationOf<Events>, options?: SendOptions): Promise<Published>;
  /** Publishes all or none, in order. */
  publishAll(publications: readonly PublicationOf<Events>[], options?: SendOptions): Promise<readonly Published[]>;
  /** Publishes data under its type, with the options of hand-rolled broadcasters. */
  emit<Type extends keyof Events & string>(type: Type, data: Events[Type], options?: EmitOptions & SendOptions): Promise<Published>;
  /** Changes an entity. A guard that fails is a RoxyProblem `version-conflict`, whose members `current` and `fields` say what clashes. */
  mutate(mutation: MutationOf<Entities>, options?: SendOptions): Promise<Mutated>;
  /** Makes all changes or none, in order; the member of a refusal says which one it is about. */
  mutateAll(mutations: readonly MutationOf<Entities>[], options?: SendOptions): Promise<readonly Mutated[]>;
  /** Returns one entity, and where to follow it from; undefined when there is none. */
  entity<Topic extends TopicsOf<Entities>>(topic: Topic, options?: CallOptions): Promise<(Found<EntityAt<Entities, Topic>> & { readonly cursor: string }) | undefined>;
  /** Returns the entities that match one of the patterns, as this publisher's user may see them, for a page to be rendered with. */
  snapshot<Pattern extends TopicsOf<Entities>>(patterns: Pattern | readonly Pattern[], options?: CallOptions): Promise<Snapshot<readonly FoundAt<Entities, Pattern>[]>>;
  /**
   * Returns where a page's stream of pattern is to go on, for pages that are rendered of the app's own database: ask for it before the
   * database is read, and what is published meanwhile is not missed.
   */
  cursor(pattern: string, options?: CallOptions): Promise<string>;
  /** Returns who is present; with a topic, who hears that. */
  presence(topic?: string, options?: CallOptions): Promise<Presence>;
  /** Returns who has the critical event at a cursor, and who has confirmed it. */
  receipts(cursor: string, options?: CallOptions): Promise<Receipts>;
  /** Buys a ticket that lets a page of this publisher's user connect where it can send no header. */
  ticket(options?: CallOptions): Promise<Ticket>;
}

/**
 * Returns a publisher to the hub at options.url. Events and entities are typed by what `roxy generate typescript` writes:
 * `createPublisher<RoxyEvents, RoxyEntities>({ url, token })`.
 */
export function createPublisher<Events extends object = Record<string, unknown>, Entities extends object = AnyEntities>(
  options: PublisherOptions<Events>,
): Publisher<Events, Entities> {
  if (!options.token) throw new TypeError("token: want one, or who gives one before each call");
  const hub = hubOf(options);

  const send = async (publications: readonly Publication[], { work, ...how }: SendOptions = {}): Promise<readonly Published[]> => {
    if (publications.length === 0) return [];
    const body = await keyed(publications, work);
    const once = body.some(({ ephemeral }) => ephemeral); // nothing protects those from doubling
    const answer = await callHub(hub, { method: "POST", path: "/v1/events", body }, how, once);
    return (answer as { events: Published[] }).events;
  };

  const change = async (mutations: readonly MutationOf<Entities>[], { work, ...how }: SendOptions = {}): Promise<readonly Mutated[]> => {
    if (mutations.length === 0) return [];
    const answer = await callHub(hub, { method: "POST", path: "/v1/mutations", body: await keyed(mutations, work) }, how);
    return (answer as { results: Mutated[] }).results;
  };

  return {
    publish: async (publication, how) => (await send([publication as Publication], how))[0]!,
    publishAll: (publications, how) => send(publications as readonly Publication[], how),
    async emit(type, data, { work, signal, traceparent, ...said } = {}) {
      const where = said.topic ?? options.topics?.[type];
      const publication = publicationOf(type, typeof where === "function" ? where(data) : where, data, said);
      return (await send([publication], { ...(work !== undefined && { work }), ...(signal && { signal }), ...(traceparent !== undefined && { traceparent }) }))[0]!;
    },
    mutate: async (mutation, how) => (await change([mutation], how))[0]!,
    mutateAll: change,
    async entity(topic, how) {
      try {
        return (await callHub(hub, { method: "GET", path: `/v1/entities/${pathOf(topic)}` }, how)) as Found<EntityAt<Entities, typeof topic>> & { cursor: string };
      } catch (error) {
        if (error instanceof RoxyProblem && error.code === "not-found") return undefined;
        throw error;
      }
    },
    async snapshot<Pattern extends TopicsOf<Entities>>(patterns: Pattern | readonly Pattern[], how?: CallOptions) {
      type Page = { readonly entities: FoundAt<Entities, Pattern>[]; readonly cursor: string; readonly page?: string };
      const all: Page[] = [];
      // One after the other: the first page's cursor is then behind nothing that a later one has.
      for (const match of [patterns].flat()) all.push(...(await pages<Page>(hub, "/v1/entities", { match }, how)));
      if (all.length === 0) throw new TypeError("patterns: want at least one");
      // Patterns may overlap, and the later answer is the newer one.
      const found = new Map(all.flatMap(({ entities }) => entities).map((entity) => [entity.topic, entity]));
      return { data: [...found.values()], cursor: all[0]!.cursor };
    },
    async cursor(pattern, how) {
      const path = `/v1/entities?${new URLSearchParams({ match: pattern, limit: "1" })}`;
      return ((await callHub(hub, { method: "GET", path }, how)) as { cursor: string }).cursor;
    },
    async presence(topic, how) {
      const all = await pages<Presence & { page?: string }>(hub, "/v1/presence", topic === undefined ? {} : { topic }, how);
      const { settles } = all[0];
      return { users: all.flatMap(({ users }) => users), ...(settles !== undefined && { settles }) };
    },
    receipts: async (cursor, how) => (await callHub(hub, { method: "GET", path: `/v1/events/${encodeURIComponent(cursor)}/receipts` }, how)) as Receipts,
    ticket: async (how) => (await callHub(hub, { method: "POST", path: "/v1/tickets" }, how)) as Ticket,
  };
}
