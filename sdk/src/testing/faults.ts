// What goes wrong between clients and the hub, and when: the fault script of a test.
import { readDuration } from "./grammar.ts";
import { answerProblem, type Answered } from "./exchange.ts";
import { codeOf, refusal, type Code } from "./problem.ts";

/** What a request is for: the part of its path behind /v1/. */
export type FaultRoute = (typeof ROUTES)[number];

/** Which requests something happens to. */
export interface FaultScope {
  /** All requests when left out. */
  readonly on?: FaultRoute;
  /** So many of them; Infinity for all until clear(). */
  readonly times?: number;
}

/** What happens to one request of a script, or before it is handled. */
export type Fault =
  | { readonly fault: "cut" | "halfOpen" | "offline" | "online" | "buffer" | "loseReply" | "clear" }
  | { readonly fault: "refuse"; readonly status: number; readonly retryAfter?: number; readonly code?: Code }
  | { readonly fault: "delay"; readonly ms: number }
  | { readonly fault: "restart"; readonly loseLog?: boolean }
  | { readonly fault: "expire"; readonly token: string };

/** A fault at the request-th request from now, counted from 1: of all, or of one route. */
export type FaultStep = Fault & { readonly request: number; readonly on?: FaultRoute };

/** Breaks things. Whatever is broken stays so until its times are over, or clear(). */
export interface Faults {
  /** Cuts all streams and the requests that wait for their answer. New ones work. */
  cut(): void;
  /** From now on nothing gets through the streams that are open, and neither side is told. New ones work. */
  halfOpen(): void;
  /** Cuts everything and lets nothing through until online(). The platform says so, as navigator.onLine does. */
  offline(): void;
  online(): void;
  /**
   * Answers with a status in the hub's place, once unless times says more: 429 and 503 are the hub's own words, 502 a
   * proxy's page, 204 that nobody shall come back. retryAfter is in seconds.
   */
  refuse(status: number, how?: FaultScope & { readonly retryAfter?: number; readonly code?: Code }): void;
  /** Answers come ms later, all until clear() unless times says less. */
  delay(ms: number, how?: FaultScope): void;
  /** Streams are held back until they end, as by a proxy that buffers, until clear(). */
  buffer(): void;
  /** The hub does what it is asked, and the answer is lost; once unless times says more. */
  loseReply(how?: FaultScope): void;
  /** The hub restarts: streams break, tickets and presence are gone. With loseLog all else is, too, and the log begins another epoch. */
  restart(how?: { readonly loseLog?: boolean }): void;
  /** A token is refused as expired from now on, and its streams end. */
  expire(token: string): void;
  /** Has faults happen by the count of requests. Pings and acknowledgements are requests, too: name a route with `on`. */
  script(steps: readonly FaultStep[]): void;
  /** All is well again; what was scripted is forgotten. */
  clear(): void;
}

/** What the faults do to the hub. */
export interface Broken {
  cut(): void;
  halfOpen(): void;
  restart(loseLog: boolean): void;
  expire(token: string): void;
  /** Holds what streams write, or lets go of it. */
  hold(held: boolean): void;
  /** The network went or came. */
  signal(signal: "online" | "offline"): void;
}

/** What becomes of one request. */
export interface Fate {
  /** It never reaches the hub. */
  readonly lost: boolean;
  /** Somebody else's answer. */
  readonly answer?: Answered | undefined;
  readonly replyLost: boolean;
  /** In milliseconds. */
  readonly delay: number;
}

export interface FaultPlan {
  readonly faults: Faults;
  /** Decides on a request, and counts it. */
  fateOf(route: string): Fate;
  readonly offline: boolean;
  readonly buffering: boolean;
}

const ROUTES = ["stream", "events", "entities", "mutations", "acks", "devices", "presence", "tickets", "sessions", "ping"] as const;
const ALONE = ["cut", "halfOpen", "offline", "online", "buffer", "loseReply", "clear"];

interface Rule {
  readonly on: FaultRoute | undefined;
  left: number;
  readonly fault: Fault & { fault: "refuse" | "delay" | "loseReply" };
}

interface Waiting {
  left: number;
  readonly step: FaultStep;
}

export function createFaults(broken: Broken): FaultPlan {
  let rules: Rule[] = [];
  let steps: Waiting[] = [];
  let offline = false;
  let buffering = false;

  const rule = (where: string, fault: Rule["fault"], { on, times }: FaultScope, otherwise: number): void => {
    checkRoute(`${where}: on`, on);
    const left = times ?? otherwise;
    if (!(left >= 1)) throw new Error(`${where}: times: ${left}: want 1 or more`);
    rules.push({ on, left, fault });
  };

  const faults: Faults = {
    cut: () => broken.cut(),
    halfOpen: () => broken.halfOpen(),
    offline() {
      if (offline) return;
      offline = true;
      broken.cut();
      broken.signal("offline");
    },
    online() {
      if (!offline) return;
      offline = false;
      broken.signal("online");
    },
    refuse(status, { retryAfter, code, ...scope } = {}) {
      const fault = { fault: "refuse" as const, status, ...(retryAfter !== undefined && { retryAfter }), ...(code && { code }) };
      checkFault("faults.refuse", fault);
      rule("faults.refuse", fault, scope, 1);
    },
    delay(ms, scope = {}) {
      checkFault("faults.delay", { fault: "delay", ms });
      rule("faults.delay", { fault: "delay", ms }, scope, Infinity);
    },
    buffer() {
      buffering = true;
      broken.hold(true);
    },
    loseReply: (scope = {}) => rule("faults.loseReply", { fault: "loseReply" }, scope, 1),
    restart: ({ loseLog = false } = {}) => broken.restart(loseLog),
    expire: (token) => broken.expire(token),
    script(all) {
      for (const [i, step] of all.entries()) {
        const where = `faults.script[${i}]`;
        if (!Number.isInteger(step.request) || step.request < 1) throw new Error(`${where}.request: ${step.request}: want 1 or more, counted from now`);
        checkRoute(`${where}.on`, step.on);
        checkFault(where, step);
      }
      steps.push(...all.map((step) => ({ left: step.request, step })));
    },
    clear() {
      rules = [];
      steps = [];
      if (buffering) broken.hold(false);
      buffering = false;
      faults.online();
    },
  };

  /** Does what a step says, but for what happens to the request itself. */
  const perform = (step: FaultStep): void => {
    switch (step.fault) {
      case "restart":
        return broken.restart(step.loseLog ?? false);
      case "expire":
        return broken.expire(step.token);
      case "refuse":
      case "delay":
      case "loseReply":
        return;
      default:
        return faults[step.fault]();
    }
  };

  return {
    faults,
    fateOf(route) {
      const happening: Fault[] = [];
      const counted = steps.filter(({ step }) => step.on === undefined || step.on === route);
      for (const waiting of counted) waiting.left--;
      for (const waiting of counted.filter(({ left }) => left === 0)) {
        steps = steps.filter((other) => other !== waiting);
        perform(waiting.step);
        happening.push(waiting.step);
      }
      if (offline) return { lost: true, replyLost: false, delay: 0 };
      for (const one of rules.filter(({ on }) => on === undefined || on === route)) {
        if (one.fault.fault === "refuse" && happening.some(({ fault }) => fault === "refuse")) continue; // one answer for each
        one.left--;
        happening.push(one.fault);
      }
      rules = rules.filter(({ left }) => left > 0);
      let fate: Fate = { lost: false, replyLost: false, delay: 0 };
      for (const fault of happening) {
        if (fault.fault === "refuse") fate = { ...fate, answer: answerInstead(fault) };
        if (fault.fault === "delay") fate = { ...fate, delay: fate.delay + fault.ms };
        if (fault.fault === "loseReply") fate = { ...fate, replyLost: true };
      }
      return fate;
    },
    get offline() {
      return offline;
    },
    get buffering() {
      return buffering;
    },
  };
}

function checkRoute(where: string, on: string | undefined): void {
  if (on !== undefined && !ROUTES.some((route) => route === on)) throw new Error(`${where}: ${JSON.stringify(on)} is none of ${ROUTES.join(", ")}`);
}

function checkFault(where: string, fault: Fault): void {
  switch (fault.fault) {
    case "refuse": {
      const { status, retryAfter = 0 } = fault;
      if (status !== 204 && !(Number.isInteger(status) && status >= 400 && status <= 599)) throw new Error(`${where}: status: ${status}: want 204 or 400 to 599`);
      if (!(retryAfter >= 0)) throw new Error(`${where}: retryAfter: ${retryAfter}: want seconds`);
      return;
    }
    case "delay":
      if (!(fault.ms >= 0)) throw new Error(`${where}: ms: ${fault.ms}: want milliseconds${readDuration(String(fault.ms)) === undefined ? "" : ", as a number"}`);
      return;
    case "restart":
      return;
    case "expire":
      if (typeof fault.token !== "string") throw new Error(`${where}: token: want one of hub.token(…)`);
      return;
    default:
      if (!ALONE.includes(fault.fault)) throw new Error(`${where}.fault: ${JSON.stringify(fault.fault)} is none of ${[...ALONE, "refuse", "delay", "restart", "expire"].join(", ")}`);
  }
}

function answerInstead({ status, retryAfter, code = codeOf(status) }: Fault & { fault: "refuse" }): Answered {
  if (status === 204) return { status, headers: {}, body: "" };
  if (code) return answerProblem(refusal(code, "faults.refuse of the test hub", { status, ...(retryAfter !== undefined && { retryAfter }) }), true);
  const wait: Record<string, string> = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) };
  return { status, headers: { "content-type": "text/html", ...wait }, body: `<h1>${status}</h1> faults.refuse of the test hub` };
}
