import {
  constantOf,
  definePass,
  edit,
  type GraphView,
  type Node,
  PASS_API_VERSION,
  type ResidentTensor,
  subgraphsOf,
  viewOf,
} from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";

/** Operators whose results are random, and those whose form carries a meaning that must stay. */
const unfoldable = new Set([
  "Constant",
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
  "Bernoulli",
  "Multinomial",
  "QuantizeLinear",
  "DequantizeLinear",
  "DynamicQuantizeLinear",
]);

/**
 * Computes what depends on constants alone, in every graph, where the result takes no more bytes than what it replaces.
 * Only constants in memory (up to 64 KiB) are folded. Integers are exact; floats are computed in float64 and rounded once.
 */
export const foldConstants = definePass({
  name: "fold-constants",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      const folded: Folded = new Map();
      for (const view of viewOf(model).graphs) if (!inFunction(view)) foldGraph(view, folded, ctx.signal);
      for (const [view, results] of folded)
        for (const [name, { node, tensor }] of results) {
          if (name === node.outputs.find((v) => v !== "")) {
            e.replace(node, []);
            ctx.done({ view, node });
          }
          const stays = view.uses(name).some((use) => !isFolded(folded, use.view, use.node));
          if (stays) e.replaceValue(view, name, e.addWeight(view, e.fresh(`${name}_folded`), tensor));
        }
    }),
});

type Folded = Map<GraphView, Map<string, { readonly node: Node; readonly tensor: ResidentTensor }>>;

const isFolded = (folded: Folded, view: GraphView, n: Node): boolean =>
  n.outputs.some((v) => folded.get(view)?.get(v)?.node === n);

/** The bodies of functions hold no weights. */
const inFunction = (view: GraphView): boolean => (view.parent ? inFunction(view.parent) : view.path !== "");

/** Folds the nodes of a graph in order, so that a chain of any length takes one sweep. */
function foldGraph(view: GraphView, folded: Folded, signal: AbortSignal): void {
  const constant = (name: string): ResidentTensor | undefined => {
    const definer = view.definer(name);
    return definer && (folded.get(definer)?.get(name)?.tensor ?? constantOf(definer, name));
  };
  for (const n of view.graph.nodes) {
    signal.throwIfAborted();
    const fixed =
      n.domain !== "" || unfoldable.has(n.op) || !subgraphsOf(n).next().done || n.outputs.some((v) => view.isOutput(v));
    if (fixed || n.inputs.length === 0) continue;
    const inputs = n.inputs.map((v) => (v === "" ? undefined : constant(v)));
    if (n.inputs.some((v, i) => v !== "" && !inputs[i])) continue;
    const results = tryEvaluate(n, inputs);
    if (!results || n.outputs.some((v, i) => v !== "" && !results[i])) continue;

    const spared = new Set(n.inputs.filter((v) => v !== "" && onlyReadBy(n, v, view)));
    const before = nodeBytes(n) + [...spared].reduce((sum, v) => sum + weightBytes(v, constant(v)!), 0);
    const after = n.outputs.reduce((sum, v, i) => sum + (v === "" ? 0 : weightBytes(v, results[i]!)), 0);
    if (after > before) continue;
    const map = folded.get(view) ?? new Map();
    folded.set(view, map);
    n.outputs.forEach((v, i) => {
      if (v !== "") map.set(v, { node: n, tensor: results[i]! });
    });
  }
}

/** A node whose inputs do not fit it stays as it is: that is for whoever runs the model to report. */
function tryEvaluate(n: Node, inputs: readonly (ResidentTensor | undefined)[]): ResidentTensor[] | undefined {
  try {
    return evaluateNode(n, inputs);
  } catch {
    return undefined;
  }
}

function onlyReadBy(n: Node, value: string, view: GraphView): boolean {
  const definer = view.definer(value)!;
  return !definer.isOutput(value) && definer.uses(value).every((use) => use.node === n);
}

/** About what a weight takes in a file beside its bytes, and what a node takes. */
const weightBytes = (name: string, t: ResidentTensor) => t.byteLength + name.length + 16;
const nodeBytes = (n: Node) =>
  [...n.inputs, ...n.outputs, n.name, n.op].reduce((sum, s) => sum + s.length + 2, 8) + 16 * n.attributes.size;
