import { join } from "node:path";
import type { NextConfig } from "next";

// @roxy/sdk is a link to a folder outside of this one; an app that installs it from a registry needs neither line.
const root = join(import.meta.dirname, "../..");

export default { turbopack: { root }, outputFileTracingRoot: root } satisfies NextConfig;
