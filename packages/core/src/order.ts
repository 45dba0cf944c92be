import { failure } from "./diagnostic.ts";
import { type Graph, type Node, subgraphsOf } from "./model.ts";

/** Names that a node reads: its inputs, and what the graphs inside it read from outside. */
export function* readsOf(n: Node): Generator<string> {
  for (const v of n.inputs) if (v !== "") yield v;
  for (const { graph } of subgraphsOf(n)) yield* capturesOf(graph);
}

/** Names that a graph reads but does not define. */
export function capturesOf(g: Graph): Set<string> {
  const known = new Set<string>([...g.weights.keys(), ...g.sparseWeights.keys(), ...g.inputs.map((v) => v.name)]);
  for (const n of g.nodes) for (const out of n.outputs) known.add(out);
  const free = new Set<string>();
  for (const n of g.nodes) for (const v of readsOf(n)) if (!known.has(v)) free.add(v);
  for (const v of g.outputs) if (!known.has(v.name)) free.add(v.name);
  return free;
}

/**
 * Nodes in topological order: as given where that is one, otherwise each node as early as what it reads allows,
 * the order given deciding among those that are ready.
 * @throws PareError `core/cycle`
 */
export function inOrder(nodes: readonly Node[]): readonly Node[] {
  const producer = new Map<string, number>();
  nodes.forEach((n, i) => {
    for (const out of n.outputs) if (out !== "") producer.set(out, i);
  });
  const reads = nodes.map((n) => [...readsOf(n)].flatMap((v) => producer.get(v) ?? []));
  if (reads.every((list, i) => list.every((p) => p < i))) return nodes;

  const state = new Uint8Array(nodes.length); // 0 new, 1 open, 2 done
  const sorted: Node[] = [];
  for (let root = 0; root < nodes.length; root++) {
    const stack = [root];
    while (stack.length > 0) {
      const i = stack[stack.length - 1]!;
      if (state[i] === 0) {
        state[i] = 1;
        for (const p of reads[i]!.toReversed()) {
          if (state[p] === 1) throw cycle(nodes[p]!);
          if (state[p] === 0) stack.push(p);
        }
      } else {
        stack.pop();
        if (state[i] === 1) sorted.push(nodes[i]!);
        state[i] = 2;
      }
    }
  }
  return sorted;
}

const cycle = (n: Node) =>
  failure("core/cycle", `${n.op} reads what is computed from its own output`, {
    location: { node: n.name || n.outputs[0] || "", op: n.op },
  });
