import type { Reuse } from "@pare/ops/observe";

/** What `--explain-cache` prints: a line for each time that statistics were asked for. `kept` says whether there is a cache. */
export function cacheText(reused: readonly Reuse[], kept: boolean): string {
  if (!kept) return "cache: none; give a folder with --cache\n";
  if (reused.length === 0) return "cache: no statistics were asked for\n";
  return reused.map((r) => `cache: ${r.reused} of ${r.asked} statistics reused; ${r.reason}\n`).join("");
}
