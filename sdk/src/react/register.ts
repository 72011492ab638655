import type { AnyEntities } from "../entities.ts";
import type { RoxyEvent } from "../core/messages.ts";

/**
 * What the hooks of an app know of its events and entities. Once, anywhere in the app:
 *
 *     declare module "@roxy/sdk/react" {
 *       interface Register { events: RoxyEvents; entities: RoxyEntities }
 *     }
 */
// oxlint-disable-next-line no-empty-interface -- it is there to be merged with
export interface Register {}

/** The app's RoxyEvents; any type with any data when it has registered none. */
export type RegisteredEvents = Register extends { readonly events: infer Events extends object } ? Events : Record<string, unknown>;

/** The app's RoxyEntities; any topic with any object when it has registered none. */
export type RegisteredEntities = Register extends { readonly entities: infer Entities extends object } ? Entities : AnyEntities;

/**
 * What is known of data that nobody registered: nothing. It is `any` and not `unknown`, because code that was written for
 * hooks without types reads it as it is.
 */
type Untyped = any;

type OneOf<Events> = { [Type in keyof Events & string]: RoxyEvent<Type, Events[Type]> }[keyof Events & string];

/** An event of any type: `type` tells which, and with it what its data are. */
export type AnyEvent = Register extends { readonly events: infer Events extends object } ? OneOf<Events> : RoxyEvent<string, Untyped>;

interface TypedSubscribe<Events> {
  <Type extends keyof Events & string>(type: Type, handler: (data: Events[Type]) => unknown, options?: { readonly topic?: string }): () => void;
}

interface UntypedSubscribe {
  <Data = Untyped>(type: string, handler: (data: Data) => unknown, options?: { readonly topic?: string }): () => void;
}

/**
 * Runs handler with the data of each event of a type, until the function it returns is called; to call that again is harmless.
 * A subscription that is given up and asked for again within 2 s goes on where it ended.
 */
export type Subscribe = Register extends { readonly events: infer Events extends object } ? TypedSubscribe<Events> : UntypedSubscribe;
