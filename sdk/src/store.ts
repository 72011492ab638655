/** Entities of a Roxy hub, shown with what is pending painted over them. */
export { createStore } from "./store/store.ts";
export type { Observable } from "./core/observable.ts";
export type { How, Options as StoreOptions, Store, View } from "./store/store.ts";
export type { Json, JsonObject } from "./store/json.ts";
