// What the next page can show before the hub answers.
import type { Clock } from "../core/clock.ts";
import type { Entity } from "../outbox/wire.ts";

/** Where entities are kept over a reload. */
export interface Keeping {
  recall(): Promise<readonly Entity[]>;
  /** Keeps entities, and forgets those whose data is null. */
  keep(entities: readonly Entity[]): Promise<void>;
}

export interface Cache {
  /** An entity is another; with `now` what is told afterwards must not outlive it. */
  changed(entity: Entity, now: boolean): void;
  close(): void;
}

/** So many entities are kept, those that changed last. */
const maxKept = 1000;
/** Changes are gathered for so long. */
const gather = 1000;

/** Keeps entities, and has known told of those that an earlier page kept. */
export function createCache(keeping: Keeping, clock: Clock, known: (entities: readonly Entity[]) => void): Cache {
  const dirty = new Map<string, Entity>();
  let kept = new Set<string>(); // the last one is the one that changed last

  const write = (): void => {
    const entities = [...dirty.values()];
    for (const { topic, data } of entities) {
      kept.delete(topic);
      if (data) kept.add(topic);
    }
    dirty.clear();
    for (const topic of [...kept].slice(0, -maxKept)) {
      kept.delete(topic);
      entities.push({ topic, version: 0, data: null });
    }
    if (entities.length > 0) keeping.keep(entities).catch(() => {}); // then the next page shows a little less, or what is older
  };
  keeping.recall().then(
    (entities) => {
      kept = new Set([...entities.map(({ topic }) => topic), ...kept]);
      known(entities);
    },
    () => {},
  );
  return {
    changed(entity, now) {
      dirty.set(entity.topic, entity);
      if (now) write();
      else if (dirty.size === 1) clock.set(write, gather);
    },
    close: write,
  };
}
