/** Reports whether a topic lies inside a pattern: `*` is one segment, a last `**` any number of them (docs/protocol.md §1). */
export function matches(pattern: string, topic: string): boolean {
  const want = pattern.split("/");
  const have = topic.split("/");
  // A wildcard in the first segment does not reach the hub's own topics.
  if (have[0] === "roxy" && want[0] !== "roxy") return false;
  const open = want.at(-1) === "**";
  if (open) want.pop();
  if (open ? have.length < want.length : have.length !== want.length) return false;
  return want.every((segment, i) => segment === "*" || segment === have[i]);
}
