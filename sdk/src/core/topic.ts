/** Reports whether a topic lies inside a pattern: `*` is one segment, a last `**` any number of them (docs/protocol.md §1). */
export function matches(pattern: string, topic: string): boolean {
  const want = pattern.split("/");
  const have = topic.split("/");
  // A wildcard in the first segment does not reach the hub's own topics.
  if (have[0] === "roxy" && want[0] !== "roxy") return false;
  if (want.at(-1) === "**") {
    want.pop();
    have.splice(want.length);
  }
  return have.length === want.length && want.every((segment, i) => ["*", have[i]].includes(segment));
}
