// How mutations end, and who is told.
import type { Settlement } from "./api.ts";
import type { Slot } from "./lane.ts";
import type { Problem } from "./wire.ts";

/** Ends that are remembered, so that they are told once. */
const maxTold = 2000;

/** It was taken back. */
export const cancelled = ({ entry: { id, topic } }: Slot): Settlement => ({ id, topic, status: "cancelled" });

/** It was not to be; why is its entry's problem, or the one given. */
export const failed = (status: "refused" | "parked", why?: Problem) => ({ entry: { id, topic, problem } }: Slot): Settlement => ({
  id,
  topic,
  status,
  problem: why ?? (problem as Problem),
});

/** Returns what tells of each mutation once. */
export function once(tell: (settlement: Settlement) => void): (settlement: Settlement) => void {
  const told = new Set<string>();
  return (settlement) => {
    if (told.has(settlement.id)) return;
    told.add(settlement.id);
    for (const id of [...told].slice(0, -maxTold)) told.delete(id);
    tell(settlement);
  };
}
