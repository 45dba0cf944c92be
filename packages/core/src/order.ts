import { failure } from "./diagnostic.ts";
import { indexOf, readsOf } from "./local.ts";
import { type Node, placeOf } from "./model.ts";
import { sameList } from "./same.ts";

/**
 * Nodes in topological order: the same array where it is in order, otherwise as given, but each after what it reads.
 * @throws PareError `core/cycle`
 */
export function inOrder(nodes: readonly Node[]): readonly Node[] {
  const { writers } = indexOf(nodes);
  const sorted = new Set<Node>();
  const open = new Set<Node>();
  const stack = [...nodes].reverse();
  for (let n = stack.at(-1); n; n = stack.at(-1)) {
    const missing = readsOf(n)
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
  return sameList(nodes, [...sorted]);
}
