/** One stream for all tabs of a browser: `createClient({ url, share: tabs({ name: "user-7" }) })`. */
export { tabs } from "./tabs/tabs.ts";
export type { Tabs, TabsOptions } from "./tabs/tabs.ts";
