// Builds the app: one page, its script and style sheet named by their contents, and the worker that keeps them.
//
//   node build.js [FOLDER]     dist/ unless said; NODE_ENV=development for React's warnings and readable code
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const require = createRequire(import.meta.url);
const folder = process.argv[2] ?? "dist";
const development = process.env.NODE_ENV === "development";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
cpSync("public", folder, { recursive: true });

const common = { bundle: true, minify: !development, target: "es2022", logLevel: "warning" };
await build({
  ...common,
  entryPoints: { app: "src/main.tsx" },
  outdir: join(folder, "assets"),
  entryNames: "[name]-[hash]",
  sourcemap: true,
  format: "esm",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": development ? '"development"' : '"production"' },
  // The SDK is a link into this repository, where its tests have a React of their own: an app has one.
  alias: { react: dirname(require.resolve("react/package.json")), "react-dom": dirname(require.resolve("react-dom/package.json")) },
});
const files = readdirSync(folder, { recursive: true }).filter((path) => /\.(js|css|svg)$/.test(path)).sort();
let page = readFileSync("public/index.html", "utf8");
for (const file of files) page = page.replace(file.replace(/^assets\/(\w+)-\w+\./, "$1."), file);
writeFileSync(join(folder, "index.html"), page);

// Another build has another name, whatever of what is kept has changed: that is how a browser notices.
const name = createHash("sha256");
for (const file of ["index.html", ...files]) name.update(readFileSync(join(folder, file)));
await build({
  ...common,
  entryPoints: { worker: "src/worker/worker.ts" },
  outdir: folder,
  format: "iife",
  define: { BUILD: JSON.stringify({ name: name.digest("hex").slice(0, 16), files }) },
});
