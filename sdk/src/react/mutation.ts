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
   * Others changed the same. Where the entities are made with `conflict: () => "ask"` the mutation is held: what this returns
   * decides, or later resolve does. Otherwise it is refused already.
   */
  readonly onConflict?: ((conflict: Conflict) => Decision | undefined | void) | undefined;
  readonly onRefused?: ((refused: Refused) => void) | undefined;
  readonly onCommitted?: ((committed: Committed) => void) | undefined;
}

/** What useMutation returns. The functions are the same for as long as the entities are. */
export interface Mutate extends Changes<RegisteredEntities, Pending>, Pick<Entities<RegisteredEntities>, "atomic" | "resolve" | "retry" | "dismiss"> {
  /** How many mutations are not settled, of the whole app. */
  readonly waiting: number;
  /** Refused, held and parked mutations of the whole app, until they are dismissed: also those of screens that are gone. */
  readonly troubled: readonly Entry[];
}

/** Changes entities: painted at once, and taken back when the hub refuses. */
export function useMutation(options: MutationOptions = {}): Mutate {
  const entities = useEntities();
  const latest = useLatest(options);
  const waiting = useWhenRead(entities.waiting.subscribe, entities.waiting.getSnapshot, 0);
  const troubled = useWhenRead(entities.troubled.subscribe, entities.troubled.getSnapshot, NONE);
  const changes = useMemo(() => {
    const follow = (pending: Pending): Pending => {
      tell(entities, pending, latest);
      return pending;
    };
    return {
      put: (...args) => follow(entities.put(...args)),
      patch: (...args) => follow(entities.patch(...args)),
      delete: (...args) => follow(entities.delete(...args)),
      atomic: (build) => follow(entities.atomic(build)),
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
function tell({ troubled, resolve }: Entities<RegisteredEntities>, { ids, settled }: Pending, latest: { readonly current: MutationOptions }): void {
  let seq: number | undefined; // one that is made again has another id, at the same place
  let asked: string | undefined;
  const stop = troubled.subscribe(() => {
    const mutation = troubled
      .getSnapshot()
      .find(({ id, seq: place, problem }) => problem?.code === "version-conflict" && (ids.includes(id) || place === seq));
    if (!mutation?.problem || mutation.id === asked) return;
    const { id, problem } = mutation;
    ({ seq } = mutation);
    asked = id;
    // Not from within the outbox, which is at it.
    queueMicrotask(() => {
      const decision = latest.current.onConflict?.({ mutation, problem });
      if (decision) resolve(id, decision);
    });
  });
  void settled.then((settlement) => {
    stop();
    const { onCommitted, onRefused } = latest.current;
    if (settlement.status === "committed") onCommitted?.(settlement);
    else if (settlement.status !== "cancelled") onRefused?.(settlement);
  });
}

const NONE: readonly Entry[] = [];
