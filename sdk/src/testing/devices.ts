// Devices: durable subscribers, and up to where each has everything (docs/protocol.md §7).
import { contains, type Position } from "./grammar.ts";
import { includes, type Draft, type Log } from "./log.ts";
import { refusal } from "./problem.ts";

export interface Device {
  readonly name: string;
  readonly user: string;
  roles: readonly string[];
  patterns: readonly string[];
  types: readonly string[];
  cursor: Position;
  /** What lies up to here and behind the cursor was never given to the device. */
  skipped: number;
  readonly created: number;
  seen: number;
}

export interface Devices {
  /** Keeps what a device subscribes to from now on. Throws forbidden when the name is another user's. */
  register(asked: Pick<Device, "name" | "user" | "roles" | "patterns" | "types">): Device;
  /** A device of the user's. Throws not-found and forbidden. */
  of(name: string, user: string): Device;
  all(): Device[];
  /** Removes a device of the user's, or anybody's when there is no user. */
  forget(name: string, user: string | undefined): void;
  lose(): void;
}

export function createDevices(log: Log, wall: () => number): Devices {
  const known = new Map<string, Device>();
  const foreign = (name: string): Error =>
    refusal("forbidden", `the device ${JSON.stringify(name)} belongs to another user: choose another name`, { member: "device" });
  const of = (name: string, user: string): Device => {
    const device = known.get(name);
    if (!device) throw refusal("not-found", `no device ${JSON.stringify(name)} is known: it is by subscribing with device=${name}`, { member: "device" });
    if (device.user !== user) throw foreign(name);
    return device;
  };
  return {
    register({ name, user, roles, patterns, types }) {
      let device = known.get(name);
      if (device && device.user !== user) throw foreign(name);
      if (!device) {
        const cursor = { epoch: log.epoch, offset: log.head };
        device = { name, user, roles, patterns, types, cursor, skipped: 0, created: wall(), seen: 0 };
        known.set(name, device);
      }
      Object.assign(device, { roles, patterns, types, seen: wall() });
      return device;
    },
    of,
    all: () => [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    forget(name, user) {
      const device = known.get(name);
      if (user !== undefined || !device) of(name, user ?? "");
      known.delete(name);
    },
    lose: () => known.clear(),
  };
}

/** Whether a device is given events of a topic and type. */
export function subscribes(device: Device, topic: string, type: string): boolean {
  return (device.types.length === 0 || device.types.includes(type)) && device.patterns.some((pattern) => contains(pattern, topic));
}

/** Whether an event is for a device. */
export function addressed(device: Device, event: Draft): boolean {
  return event.except !== device.name && subscribes(device, event.topic, event.type) && includes(event, device.user, device.roles);
}
