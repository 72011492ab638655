"use client";
/** Hooks over a client of a Roxy hub. Rendering touches nothing: what they need of the network they ask for once they are mounted. */
export { RoxyProvider } from "./react/provider.ts";
export type { RoxyProviderProps } from "./react/provider.ts";
export { ConnectionStatusIndicator } from "./react/indicator.ts";
export type { ConnectionStatusIndicatorProps, Status } from "./react/indicator.ts";
export { useEnhancedSSE } from "./react/enhanced.ts";
export type { EnhancedSSE, EnhancedSSEOptions, Loaded, Notification, Operation } from "./react/enhanced.ts";
export { useMutation } from "./react/mutation.ts";
export type { Committed, Mutate, MutationOptions, Refused } from "./react/mutation.ts";
export { useClient, useCollection, useConnectionHealth, useEntities, useEntity, useEvent, usePresence, useSSE, useSyncStatus } from "./react/hooks.ts";
export type { ConnectionHealth, EventOf, SSE } from "./react/hooks.ts";
export type { AnyEvent, Register, RegisteredEntities, RegisteredEvents, Subscribe } from "./react/register.ts";
