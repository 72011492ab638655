import type { Client } from "../core/client.ts";
import type { Message, Present } from "../core/messages.ts";
import { createObservable, createRun, type Observable } from "../core/observable.ts";

/** The topic that tells who is there (docs/protocol.md §9). */
const TOPIC = "roxy/presence";

/** Who has a live stream, as the hub's stream tells it. One for each client; it asks for it while somebody listens. */
export type Presence = Observable<readonly Present[]>;

/** Nobody, always the same. */
export const NOBODY: readonly Present[] = [];

export function createPresence(client: Client): Presence {
  const present = createObservable(NOBODY, createRun(client.platform.report));
  let listeners = 0;
  let listening = false;

  const take = (batch: readonly Message[]): void => {
    let now = present.get();
    for (const message of batch) {
      // Nobody asked for the list of this connection: what was known is of the past.
      if (message.kind === "live" && listeners === 0) now = NOBODY;
      if (message.kind !== "presence") continue;
      if (message.present) now = message.part === 1 ? message.present : [...now, ...message.present];
      for (const each of message.joined ?? []) now = [...without(now, each), each];
      for (const each of message.left ?? []) now = without(now, each);
    }
    present.set(now);
  };

  return {
    get: present.get,
    subscribe(listener) {
      if (!listening) client.messages(take);
      listening = true;
      listeners++;
      const release = client.retain([TOPIC]);
      const stop = present.subscribe(listener);
      let open = true;
      return () => {
        if (open) listeners--;
        open = false;
        stop();
        release();
      };
    },
  };
}

function without(all: readonly Present[], { user, device }: Present): readonly Present[] {
  return all.filter((each) => each.user !== user || each.device !== device);
}
