import { failure } from "./diagnostic.ts";
import { readsOf } from "./local.ts";
import { type Node, placeOf } from "./model.ts";

/**
 * Nodes in topological order: the same array where it is in order, otherwise as given, but each after what it reads.
 * @throws PareError `core/cycle`
 */
export function inOrder(nodes: readonly Node[]): readonly Node[] {
  const producer = new Map<string, number>();
  nodes.forEach((n, i) => {
    for (const v of n.outputs) producer.set(v, i);
  });
  const state = new Uint8Array(nodes.length); // 0 new, 1 open, 2 done
  const sorted: Node[] = [];
  for (let root = 0; root < nodes.length; root++) {
    const stack = [root];
    while (stack.length > 0) {
      const i = stack[stack.length - 1]!;
      const n = nodes[i]!;
      if (state[i] === 0) {
        state[i] = 1;
        const reads = readsOf(n);
        for (let r = reads.length - 1; r >= 0; r--) {
          const p = producer.get(reads[r]!);
          if (p === undefined) continue;
          if (state[p] === 1)
            throw failure("core/cycle", `${n.op} reads what comes of its own output`, { location: placeOf(n) });
          if (state[p] === 0) stack.push(p);
        }
      } else {
        stack.pop();
        if (state[i] === 1) sorted.push(n);
        state[i] = 2;
      }
    }
  }
  return sorted.every((n, i) => n === nodes[i]) ? nodes : sorted;
}
