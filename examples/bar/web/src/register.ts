// What the hooks know of the bar: a misspelt field of an event or an entity does not compile.
import type { RoxyEntities, RoxyEvents } from "./roxy.gen.ts";

declare module "@roxy/sdk/react" {
  interface Register {
    events: RoxyEvents;
    entities: RoxyEntities;
  }
}
