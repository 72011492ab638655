import { createSignal } from "../signal.ts";

/** What a screen reader is to say next; `id` tells the same words apart. */
export const said = createSignal<{ readonly id: number; readonly text: string }>({ id: 0, text: "" });

/** Has screen readers say something, once they have finished. */
export function say(text: string): void {
  said.set({ id: said.get().id + 1, text });
}
