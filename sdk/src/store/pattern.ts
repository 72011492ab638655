/** Whether a pattern matches a topic (docs/protocol.md §1): * is one segment, a last ** zero or more. */
export function matches(pattern: string, topic: string): boolean {
  const want = pattern.split("/");
  const have = topic.split("/");
  // A wildcard in the first segment does not reach what the hub publishes itself.
  if (have[0] === "roxy" && want[0] !== "roxy") return false;
  for (const [i, segment] of want.entries()) {
    if (segment === "**" && i === want.length - 1) return true;
    if (i >= have.length || (segment !== "*" && segment !== have[i])) return false;
  }
  return want.length === have.length;
}
