// What the hooks know of the bar: a misspelt field of an event or an entity does not compile.
import type { BarEvents } from "./hub.ts";
import type { RoxyEntities } from "./roxy.gen.ts";

declare module "@roxy/sdk/react" {
  interface Register {
    events: BarEvents;
    entities: RoxyEntities;
  }
}
