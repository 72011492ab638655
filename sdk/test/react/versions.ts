/**
 * The versions of React that an app may have, each with what esbuild takes for `react` and `react-dom` all over a bundle.
 * package.json has npm overlook that react-dom-18 wants its own react beside it: in a bundle it gets it.
 */
export const REACTS: readonly (readonly [name: string, alias: Record<string, string>])[] = [
  ["React 19", {}],
  ["React 18", { react: "react-18", "react-dom": "react-dom-18" }],
];
