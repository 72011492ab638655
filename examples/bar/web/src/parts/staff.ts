import { createContext, useContext } from "react";
import type { Person } from "../backend.ts";

/** Who works here. */
export const Staff = createContext<readonly Person[]>([]);

/** How somebody is called, by the user of their token. */
export function useStaff(): (user: string | undefined) => string {
  const staff = useContext(Staff);
  return (user) => staff.find((person) => person.user === user)?.name ?? user ?? "";
}
