import {
  attr,
  type Edit,
  edit,
  type Graph,
  type GraphView,
  graph,
  type Model,
  type Node,
  node,
  subgraphsOf,
  tensor,
  type ValueInfo,
} from "@pare/core";
import { nodeContext } from "@pare/ops/lower";
import { type AdaptContext, attributeOf, listOf, noAdapter } from "./adapt.ts";

const isScan = (n: Node) => n.domain === "" && n.op === "Scan";

/**
 * Says the Scans of opset 8, which go over a batch of sequences, as a Scan over the batch whose body scans one sequence.
 * Sequences may have lengths of their own; what lies behind them is zero. All else is at the IR's opset already.
 * @throws PareError `onnx/no-adapter`, `onnx/adapter`
 */
export function scanByBatch(model: Model, isOld: (root: Graph) => boolean, file: { readonly file?: string }): Model {
  return edit(model, (e) => {
    for (const view of e.view.graphs) {
      if (!isOld(rootOf(view).graph)) continue;
      for (const n of view.graph.nodes) if (isScan(n)) e.replace(n, [nested(e, view, n, file)]);
    }
  });
}

const rootOf = (view: GraphView): GraphView => (view.parent ? rootOf(view.parent) : view);

const holdsScan = (g: Graph): boolean =>
  g.nodes.some((n) => isScan(n) || Array.from(subgraphsOf(n)).some((s) => holdsScan(s.graph)));

function nested(e: Edit, view: GraphView, n: Node, file: { readonly file?: string }): Node {
  const ctx = nodeContext(e, view, n, [], file) as AdaptContext;
  const body = attributeOf(n, ctx, "body", "graph");
  const count = Number(attributeOf(n, ctx, "num_scan_inputs", "int") ?? 0);
  const [lengths = "", ...given] = n.inputs;
  const states = given.length - count;
  if (!body || count < 1 || states < 0 || body.inputs.length !== given.length || body.outputs.length < states)
    throw noAdapter(ctx, n, "its body does not fit its inputs");
  if (holdsScan(body)) throw noAdapter(ctx, n, "its body holds another Scan of opset 8");
  const directions = listOf(n, ctx, "directions", count);
  const fresh = (what: string) => e.fresh(`${ctx.location.node}_${what}`);

  const sample = given.map((_, i) => fresh(i < states ? "state" : "sequence"));
  const results = n.outputs.map((v, i) => v || fresh(i < states ? "state" : "out"));
  const made = results.map(() => fresh("result"));
  const length = fresh("length");
  const inner = node("Scan", sample, made, {
    body: attr.graph(body),
    num_scan_inputs: attr.int(count),
    ...(directions ? { scan_input_directions: attr.ints(directions) } : {}),
  });
  const names = { sample, made, length, outputs: made };
  const cut =
    lengths === "" ? { nodes: [inner], weights: new Map(), outputs: made } : cutAndPad(inner, states, names, fresh);
  const infos: ValueInfo[] = body.inputs.map((v, i) => ({
    name: sample[i]!,
    ...(v.type?.kind === "tensor" ? { type: { kind: "tensor" as const, dtype: v.type.dtype } } : {}),
  }));
  const ownLength: ValueInfo = { name: length, type: { kind: "tensor", dtype: "int64", shape: [] } };
  const outer = graph({
    name: `${body.name}_sample`,
    nodes: cut.nodes,
    weights: cut.weights,
    inputs: lengths === "" ? infos : [ownLength, ...infos],
    outputs: cut.outputs.map((name) => ({ name })),
  });
  const scanned = lengths === "" ? given : [lengths, ...given];
  return {
    ...n,
    inputs: scanned,
    outputs: results,
    attributes: new Map([
      ["body", attr.graph(outer)],
      ["num_scan_inputs", attr.int(scanned.length)],
    ]),
  };
}

/** Scans the beginning of each sequence, and fills the results up to the length of all with zeros. */
function cutAndPad(
  inner: Node,
  states: number,
  {
    sample,
    made,
    length,
  }: { readonly sample: readonly string[]; readonly made: readonly string[]; readonly length: string },
  fresh: (what: string) => string,
) {
  const [zero, one, own, whole, missing, pads] = ["zero", "one", "length", "whole", "missing", "pads"].map(fresh) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const cut = sample.map((v, i) => (i < states ? v : fresh("cut")));
  const outputs = made.map((v, i) => (i < states ? v : fresh("filled")));
  const nodes = [
    node("Reshape", [length, one], [own]),
    ...cut.flatMap((v, i) => (i < states ? [] : [node("Slice", [sample[i]!, zero, own, zero], [v])])),
    { ...inner, inputs: cut },
    node("Shape", [sample[states]!], [whole], { end: attr.int(1) }),
    node("Sub", [whole, own], [missing]),
    node("Concat", [zero, missing], [pads], { axis: attr.int(0) }),
    ...outputs.flatMap((v, i) => (i < states ? [] : [node("Pad", [made[i]!, pads, "", zero], [v])])),
  ];
  const weights = new Map([
    [zero, tensor("int64", [1], [0])],
    [one, tensor("int64", [1], [1])],
  ]);
  return { nodes, weights, outputs };
}
