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
  const waiting = useWhenRead(entities.waiting, 0);
  const troubled = useWhenRead(entities.troubled, NONE);
  const changes = useMemo(() => changesOf(entities, latest), [entities, latest]);
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

/** Changes of entities, and callbacks, whichever are the latest by then, that are told what becomes of them. */
function changesOf(entities: Entities<RegisteredEntities>, latest: { readonly current: MutationOptions }): Omit<Mutate, "waiting" | "troubled"> {
  const { put, patch, atomic, resolve, retry, dismiss, troubled } = entities;
  const told =
    <Args extends unknown[]>(change: (...args: Args) => Pending) =>
    (...args: Args): Pending => {
      const pending = change(...args);
      let asked: Entry | undefined;
      const stop = troubled.subscribe(() => {
        // One that is made again has another id, at the same place.
        const mutation = troubled
          .get()
          .find(({ id, seq, problem }) => problem?.code === "version-conflict" && (pending.ids.includes(id) || seq === asked?.seq));
        if (!mutation || mutation.id === asked?.id) return;
        asked = mutation;
        // Not from within the outbox, which is at it.
        queueMicrotask(() => {
          const decision = latest.current.onConflict?.({ mutation, problem: mutation.problem! });
          if (decision) resolve(mutation.id, decision);
        });
      });
      void pending.settled.then((settlement) => {
        stop();
        const { onCommitted, onRefused } = latest.current;
        if ("problem" in settlement) onRefused?.(settlement);
        else if ("version" in settlement) onCommitted?.(settlement);
      });
      return pending;
    };
  return { put: told(put), patch: told(patch), delete: told(entities.delete), atomic: told(atomic), resolve, retry, dismiss };
}

const NONE: readonly Entry[] = [];
