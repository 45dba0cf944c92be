import { failure } from "./diagnostic.ts";
import { readsOf } from "./local.ts";
import { type Node, placeOf } from "./model.ts";

/**
 * Nodes in topological order: the same array where it is in order, otherwise as given, but each after what it reads.
 * @throws PareError `core/cycle`
 */
export const inOrder = (nodes: readonly Node[]): readonly Node[] => (isInOrder(nodes) ? nodes : sort(nodes));

/** Whether no node writes what was read before; with `watched`, of these values. */
export function isInOrder(nodes: readonly Node[], watched?: ReadonlySet<string>): boolean {
  const read = new Set<string>();
  return nodes.every((n) => {
    for (const v of readsOf(n)) if (!watched || watched.has(v)) read.add(v);
    return !n.outputs.some((v) => read.has(v));
  });
}

export function sort(nodes: readonly Node[]): readonly Node[] {
  const writers = new Map(nodes.flatMap((n) => n.outputs.map((v) => [v, n])));
  const sorted = new Set<Node>();
  const open = new Set<Node>();
  const stack = [...nodes].reverse();
  for (let n = stack.at(-1); n; n = stack.at(-1)) {
    const missing = sorted.has(n)
      ? []
      : readsOf(n)
          .flatMap((v) => writers.get(v) ?? [])
          .filter((m) => !sorted.has(m));
    if (missing.length === 0) {
      sorted.add(n);
      stack.pop();
    } else {
      if (open.has(n)) throw failure("core/cycle", `${n.op} reads what is computed from it`, { location: placeOf(n) });
      open.add(n);
      for (const m of missing.reverse()) stack.push(m);
    }
  }
  return [...sorted];
}
