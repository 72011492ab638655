import { createAcks } from "./acks.ts";
import type { Client, ClientOptions, Continuity, Note, Publication, Published, Sync } from "./api.ts";
import { createCalls, type TokenSource } from "./calls.ts";
import type { Timer } from "./clock.ts";
import { createConnection, type State } from "./connection.ts";
import { beyond } from "./cursor.ts";
import type { Message, ResetMessage, RoxyEvent } from "./messages.ts";
import { createListeners, createObservable, createRun } from "./observable.ts";
import { createPings } from "./pings.ts";
import type { Platform } from "./platform.ts";
import { createGauge } from "./quality.ts";
import { createRenewal } from "./renewal.ts";
import { sse } from "./sse.ts";
import { createTaker } from "./take.ts";
import { matches } from "./topic.ts";

export type * from "./api.ts";

/** So many notes are kept. */
const NOTES = 500;
/** How long a topic outlives its last user: a component that is mounted twice, a changed route and a reloaded module are one. */
const LINGER = 2_000;
/** So long an absence is nobody's concern. */
const SHORT = 5_000;

/** Returns a client that lives on platform. */
export function createCore<Events extends object = Record<string, unknown>>(platform: Platform, options: ClientOptions): Client<Events> {
  const { clock } = platform;
  const { token, device, types = [], heartbeat, snapshot = false, share, confirm = true, onError: report = platform.report } = options;
  const transports = [sse, ...(options.transports ?? [])];
  const source: TokenSource | undefined = typeof token === "string" ? () => token : token;
  const calls = createCalls(platform, options.url.replace(/\/+$/, ""), options.credentials ?? (source ? "omit" : "include"), source);
  const notes: Note[] = [];
  const note = (kind: string, detail?: string): void => {
    notes.push({ at: clock.now(), kind, detail });
    if (notes.length > NOTES) notes.shift();
  };
  const run = createRun(report);
  const gauge = createGauge(clock, run);
  const { quality } = gauge;
  const taker = createTaker(snapshot);
  const state = createObservable<State>("idle", run);
  const continuity = createObservable<Continuity>("catching-up", run);
  const sync = createObservable<Sync>("synced", run);
  const lost = createObservable(false, run);

  const acks = device
    ? createAcks(clock, report, device, confirm, (body, keepalive) => calls.call({ method: "POST", path: "/v1/acks", body, keepalive }))
    : undefined;

  let holed: unknown; // the reset of which the losses are not fetched; a later one waits for itself
  const judge = (): void => continuity.set(holed ? "reset" : state.get() === "live" && taker.live() ? "ok" : "catching-up");
  const recovered = (): void => {
    holed = undefined;
    judge();
  };
  const subscriptions = new Set<{ readonly type: string; readonly topic: string | undefined; readonly handler: (event: RoxyEvent) => unknown }>();
  const batches = createListeners<[readonly Message[]]>(run);
  const resets = createListeners<[ResetMessage]>(run);

  /** Tells what became of the handlers of a message, when all have run. */
  const settle = (message: RoxyEvent | ResetMessage, running: Promise<boolean>[]): Promise<boolean[]> => {
    const settled = Promise.all(running);
    acks?.given(message, settled);
    return settled;
  };

  const giveEvent = (event: RoxyEvent): void => {
    if (event.live && event.cursor) gauge.event(Date.parse(event.time));
    note(event.type, event.cursor ?? event.topic);
    if (acks?.knows(event)) return;
    const hearing = [...subscriptions].filter(({ type, topic }) => ["*", event.type].includes(type) && matches(topic ?? event.topic, event.topic));
    void settle(event, hearing.map(({ handler }) => run(() => handler(event))));
  };

  const giveReset = (reset: ResetMessage): void => {
    note("reset", reset.reason);
    if (reset.reason !== "view") gauge.see("resets");
    if (reset.reason === "epoch") acks?.anew();
    holed = reset;
    judge();
    void settle(reset, resets.call(reset)).then((good) => {
      // A snapshot brings all entities anew, whoever listens.
      if (holed === reset && good.every(Boolean) && (snapshot || good[0])) recovered();
    });
  };

  let after: string | null | undefined = options.after; // null once a stream has begun
  let followed: readonly string[] = []; // the topics of the last attempt
  let gone: Timer; // runs since the stream went
  const connection = createConnection(platform, calls, gauge, share?.over(transports) ?? transports, options, note, {
    request() {
      followed = topics();
      if (!followed[0]) return undefined;
      const position = taker.position();
      const from = position ? (acks ? acks.resume(position) : position) : (after ?? undefined);
      return { topics: followed, types, device, heartbeat, snapshot, after: from, heard: () => [...subscriptions].map(({ type }) => type) };
    },
    take(blocks, greet) {
      const taken = taker.take(blocks);
      const { hello, heartbeat: beat, messages } = taken;
      if (hello) greet(hello);
      if (beat) gauge.heartbeat(beat);
      if (messages[0]) batches.call(messages);
      for (const message of messages) {
        if (message.kind === "event") giveEvent(message);
        else if (message.kind === "reset") giveReset(message);
      }
      acks?.passed(taker.position());
      judge();
      return taken;
    },
    become(next, hello) {
      if (hello) {
        after = null;
        acks?.begins(hello.position);
      }
      ping(!!hello);
      renewal(hello);
      state.set(next);
      judge();
      share?.state(next);
      if (["live", "closed", "idle"].includes(next)) {
        clock.clear(gone);
        gone = undefined;
        lost.set(false);
      } else gone ??= clock.set(() => lost.set(true), SHORT);
    },
  });

  const wanted = new Set([options.topics ?? []]); // what each user wants, for as long as it lingers
  const topics = (): string[] => {
    const all = [...new Set([...wanted].flat())].sort();
    // A topic inside another one's pattern need not be asked for.
    return all.filter((topic) => topic.includes("*") || !all.some((pattern) => pattern !== topic && matches(pattern, topic)));
  };
  const rewant = (): void => {
    if (unwatch && topics().join() !== followed.join()) connection.renew("topics");
  };
  const renewal = createRenewal(platform, calls, () => connection.renew("token"));
  const ping = createPings(platform, gauge, calls.ping);

  let unwatch: (() => void) | undefined; // while the client is started
  const start = (): void => {
    calls.close(false);
    unwatch ??= platform.watch(connection.signal);
    connection.connect();
  };

  let publishing = 0;
  let reported: Sync = "synced";
  const settleSync = (): void => sync.set(reported === "synced" && publishing > 0 ? "pending" : reported);

  const publishAll = async (publications: readonly Publication[], headers: { readonly traceparent?: string } = {}): Promise<readonly Published[]> => {
    const body = publications.map((publication) => {
      const id = publication.id ?? (publication.ephemeral ? undefined : platform.hex(16));
      return { correlation: id, ...publication, id };
    });
    publishing++;
    settleSync();
    try {
      const once = body.some(({ ephemeral }) => ephemeral); // nothing protects those from doubling
      const answer = await calls.call({ method: "POST", path: "/v1/events", body, headers }, once);
      return (answer as { events: Published[] }).events;
    } finally {
      publishing--;
      settleSync();
    }
  };

  const retain: Client["retain"] = (patterns, { after: from } = {}) => {
    if (from && (after === undefined || beyond(after, from))) {
      after = from;
      if (unwatch) connection.renew("after");
    }
    const mine = [...patterns];
    wanted.add(mine);
    rewant();
    if (!unwatch) start();
    const gone = (): void => {
      wanted.delete(mine);
      rewant();
    };
    return () => void clock.set(gone, LINGER);
  };

  return {
    subscribe(type, handler, { topic } = {}) {
      const release = retain(topic ? [topic] : []);
      const subscription = { type, topic, handler: handler as (event: RoxyEvent) => unknown };
      subscriptions.add(subscription);
      connection.hear(type);
      return () => {
        subscriptions.delete(subscription);
        release();
      };
    },
    retain,
    messages: batches.add,
    onReset: resets.add,
    recovered,
    publish: async (publication, given) => (await publishAll([publication as Publication], given))[0]!,
    publishAll: publishAll as Client<Events>["publishAll"],
    confirm(event) {
      const id = typeof event === "string" ? event : event.ack?.id;
      if (!acks || !id) throw new Error("confirm: nothing to confirm");
      acks.confirm(id);
    },
    call: (call, { once } = {}) => calls.call(call, once),
    connect: start,
    close() {
      unwatch?.();
      unwatch = undefined;
      connection.close();
      acks?.close();
      calls.close();
    },
    state,
    continuity,
    sync,
    quality,
    lost,
    reportSync(next) {
      reported = next;
      settleSync();
    },
    problem: () => connection.inspect().problem,
    inspect: () => ({
      ...connection.inspect(),
      continuity: continuity.get(),
      sync: sync.get(),
      quality: quality.get(),
      cursor: taker.position(),
      topics: topics(),
      notes: [...notes],
    }),
    followed: () => followed,
    platform,
    device,
  };
}
