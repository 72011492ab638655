// The TypeScript of the documentation, as modules that a compiler takes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as core from "../src/index.ts";
import * as react from "../src/react.ts";
import * as testing from "../src/testing.ts";

/** What the listings of a page, its path in the repository, show, by the names of modules. */
export function modulesOf(page: string): Record<string, string> {
  const text = readFileSync(join(import.meta.dirname, "../..", page), "utf8");
  const fenced = [...text.matchAll(/^```tsx?\n([^]*?)^```/gm)].map(([, listing]) => listing!);
  const indented = [...text.matchAll(/^(?: {4}.*\n|\n)+/gm)].map(([lines]) => lines.replaceAll(/^ {4}/gm, "").trim()).filter((lines) => lines.startsWith("import "));
  return Object.fromEntries([...fenced, ...indented].map((listing, i) => [`${page.replaceAll("/", "-")}-${i + 1}.tsx`, moduleOf(listing)]));
}

/** Makes a module of a listing. One that imports nothing is a piece of a component or a test: what it names of the SDK is imported. */
export function moduleOf(listing: string): string {
  if (/^import /m.test(listing)) return listing;
  const words = new Set(listing.match(/\w+/g));
  const imports = Object.entries({ "@roxy/sdk": core, "@roxy/sdk/react": react, "@roxy/sdk/testing": testing }).map(
    ([from, all]) => `import { ${Object.keys(all).filter((name) => words.has(name)).join(", ")} } from "${from}";`,
  );
  return `${imports.join(" ")} export function Piece() {\n${listing}\n}\n`;
}

/** What the pages leave to the app: its schemas, of which `roxy generate typescript` makes the roxy.gen.ts that they import. */
export const SCHEMAS: Readonly<Record<string, object>> = {
  order: { "x-topic": "orders/*", properties: { table: { type: "integer" }, status: { enum: ["new", "ready", "served"] } } },
  table: { "x-topic": "tables/*", properties: { status: { enum: ["free", "eating"] } } },
  "order-new": { "x-event": "order:new", properties: { table: { type: "integer" } } },
  "order-paid": { "x-event": "order:paid", properties: { cents: { type: "integer" } } },
};

/** And what else is the app's own. */
export const APP = `
import type { ReactElement, ReactNode } from "react";
declare global {
  const session: { readonly user: string; token(fresh?: boolean): Promise<string> };
  const root: { render(children: ReactNode): void };
  const App: () => ReactElement;
  const toast: (text: string) => void;
  const show: (topic: string, order: { table?: number }) => void;
}`;
