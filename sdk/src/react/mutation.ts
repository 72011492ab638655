import { useMemo } from "react";
import type { Entities, Changes } from "../entities.ts";
import type { Pending, Settlement } from "../outbox/api.ts";
import type { Conflict, Decision } from "../outbox/conflict.ts";
import type { Entry } from "../outbox/storage.ts";
import { useEntities, useLatest, useWhenRead } from "./hooks.ts";
import type { RegisteredEntities } from "./register.ts";

/** A mutation that the hub took. */
export type Committed = Extract<Settlement, { readonly status: "committed" }>;

/** A mutation that the hub refused, or that was given up: its change is taken back already. */
export type Refused = Extract<Settlement, { readonly problem: unknown }>;

/** What is heard of the mutations of one component, also when it is gone by then. Other functions at each render are fine. */
export interface MutationOptions {
  /**
   * Others changed the same. It may decide at once, or return nothing and leave it to resolve: for that the entities are made
   * with `conflict: () => "ask"`, and the mutation is held. Otherwise theirs stands already, and what it returns means nothing.
   */
  readonly onConflict?: ((conflict: Conflict) => Decision | undefined | void) | undefined;
  /** Conflicts too when there is no onConflict. */
  readonly onRefused?: ((refused: Refused) => void) | undefined;
  readonly onCommitted?: ((committed: Committed) => void) | undefined;
}

/** What useMutation returns. The functions are the same for as long as the entities are. */
export interface Mutate extends Changes<RegisteredEntities, Pending>, Pick<Entities<RegisteredEntities>, "resolve" | "retry" | "dismiss"> {
  /** How many mutations are not settled, of the whole app. */
  readonly waiting: number;
  /** Refused, held and parked mutations of the whole app, until they are dismissed: also those of screens that are gone. */
  readonly troubled: readonly Entry[];
}

/** Changes entities: painted at once, and taken back when the hub refuses. */
export function useMutation(options: MutationOptions = {}): Mutate {
  const entities = useEntities();
  const latest = useLatest(options);
  const waiting = useWhenRead(entities.waiting, 0);
  const troubled = useWhenRead(entities.troubled, NONE);
  const changes = useMemo(() => {
    const follow = (pending: Pending): Pending => {
      tell(entities, pending, latest);
      return pending;
    };
    return {
      put: (...args) => follow(entities.put(...args)),
      patch: (...args) => follow(entities.patch(...args)),
      delete: (...args) => follow(entities.delete(...args)),
      resolve: entities.resolve,
      retry: entities.retry,
      dismiss: entities.dismiss,
    } satisfies Omit<Mutate, "waiting" | "troubled">;
  }, [entities, latest]);
  return useMemo(
    () => ({
      ...changes,
      get waiting() {
        return waiting();
      },
      get troubled() {
        return troubled();
      },
    }),
    [changes, waiting, troubled],
  );
}

/** Tells the callbacks, whichever are the latest by then, what becomes of a mutation. */
function tell(entities: Entities<RegisteredEntities>, { id, settled }: Pending, latest: { readonly current: MutationOptions }): void {
  let seq: number | undefined; // one that is made again has another id, at the same place
  let asked: string | undefined;
  const stop = entities.troubled.subscribe(() => {
    const entry = entities.troubled.getSnapshot().find((entry) => entry.id === id || entry.seq === seq);
    const { onConflict } = latest.current;
    if (entry?.state !== "held" || entry.id === asked || !entry.problem || !onConflict) return;
    const conflict: Conflict = { mutation: entry, problem: entry.problem };
    seq = entry.seq;
    asked = entry.id;
    // Not from within the outbox, which is at it.
    queueMicrotask(() => {
      const decision = onConflict(conflict);
      if (decision && decision !== "ask") entities.resolve(entry.id, decision);
    });
  });
  void settled.then((settlement) => {
    stop();
    const { onConflict, onCommitted, onRefused } = latest.current;
    if (settlement.status === "committed") onCommitted?.(settlement);
    if (settlement.status !== "refused" && settlement.status !== "parked") return;
    const entry = entities.troubled.getSnapshot().find((entry) => entry.id === settlement.id);
    // Who decided for theirs has heard of it.
    if (settlement.problem.code !== "version-conflict" || !onConflict || !entry) onRefused?.(settlement);
    else if (settlement.id !== asked) onConflict({ mutation: entry, problem: settlement.problem });
  });
}

const NONE: readonly Entry[] = [];
