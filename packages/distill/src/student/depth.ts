/** Leaves out residual blocks, whose result has the shape of what it is added to. (He et al. 2016; Veit et al. 2016, arXiv:1605.06431.) */
import { edit, type Model, type Node, operatorOf, readsOf, viewOf } from "@pare/core";
import { inferTypes, valuesFromInputs } from "@pare/ops/infer";
import { groupBy, weightInputs } from "@pare/ops/weights";

interface Block {
  readonly add: Node;
  /** The value that the block's result is added to. */
  readonly skip: string;
  readonly nodes: ReadonlySet<Node>;
  /** Blocks of one kind have the same operators and shape. */
  readonly kind: string;
}

/** The model with `share` of each kind of residual blocks, evenly spread; the same object where it has none to leave out. */
export function shallower(model: Model, share: number): Model {
  const gone = groupBy(residualBlocks(model), (b) => b.kind).flatMap((blocks) => {
    const count = Math.round(share * blocks.length);
    const kept = new Set(Array.from({ length: count }, (_, i) => Math.floor((i * blocks.length) / count)));
    return blocks.filter((_, i) => !kept.has(i));
  });
  const { main } = viewOf(model);
  const position = new Map(main.graph.nodes.map((n, i) => [n, i]));
  // In the order of the graph, so that what one block is added to may be what another gave.
  gone.sort((a, b) => position.get(a.add)! - position.get(b.add)!);
  return edit(model, (e) => {
    const removed = new Set<Node>();
    for (const { add, skip, nodes } of gone) {
      if (!e.replaceValue(main, add.outputs[0]!, skip)) continue;
      for (const n of [...nodes, add]) {
        removed.add(n);
        e.replace(n, []);
      }
    }
    for (const name of main.graph.weights.keys()) {
      const uses = main.uses(name);
      if (uses.length > 0 && uses.every((u) => removed.has(u.node))) e.removeWeight(main, name);
    }
  });
}

function residualBlocks(model: Model): Block[] {
  const { main } = viewOf(model);
  const types = inferTypes(model);
  const shapeOf = (v: string) => JSON.stringify(types.of(main, v));
  const position = new Map(main.graph.nodes.map((n, i) => [n, i]));
  const fromInputs = valuesFromInputs(main.graph);

  /** The nodes from `skip` to `branch`, if nothing else goes in or out. */
  const between = (skip: string, branch: string, add: Node): Set<Node> | undefined => {
    const start = position.get(main.producer(skip)!) ?? -1;
    const nodes = new Set<Node>();
    const open = [branch];
    for (let v = open.pop(); v !== undefined; v = open.pop()) {
      if (v === skip || !fromInputs.has(v)) continue;
      const n = main.producer(v);
      if (!n || position.get(n)! <= start) return undefined;
      if (nodes.has(n)) continue;
      nodes.add(n);
      open.push(...readsOf(n));
    }
    const isInside = [...nodes].every((n) =>
      n.outputs.every(
        (v) => !main.isOutput(v) && main.uses(v).every((u) => u.view === main && (nodes.has(u.node) || u.node === add)),
      ),
    );
    return nodes.size > 0 && isInside ? nodes : undefined;
  };

  const found = main.graph.nodes.flatMap((add): Block[] => {
    if (operatorOf(add) !== "Add") return [];
    const [a, b] = add.inputs as [string, string];
    for (const [branch, skip] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!fromInputs.has(skip) || shapeOf(skip) !== shapeOf(add.outputs[0]!)) continue;
      const nodes = between(skip, branch, add);
      if (!nodes || ![...nodes].some((n) => weightInputs.has(operatorOf(n)))) continue;
      const ops = [...nodes].map(operatorOf).sort();
      return [{ add, skip, nodes, kind: `${shapeOf(skip)} ${ops}` }];
    }
    return [];
  });
  // Of blocks within blocks, the inner ones.
  const adds = new Set(found.map((b) => b.add));
  return found.filter(({ nodes }) => ![...nodes].some((n) => adds.has(n)));
}
