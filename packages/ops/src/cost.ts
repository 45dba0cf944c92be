import {
  attribute,
  constantNodeValue,
  type Dim,
  dtypeBits,
  elementCount,
  type Graph,
  type GraphView,
  intsAttribute,
  isFloat,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  subgraphsOf,
  type Tensor,
  viewOf,
} from "@pare/core";
import { macRules } from "./cost/macs.ts";
import { type InferOptions, inferTypes, type Types } from "./infer.ts";

/** What one run of a model costs. */
export interface Cost {
  /** Multiply-accumulates; the sum of those of `nodes`. */
  readonly macs: number;
  /** Elements of constants of a floating or narrow integer type, in all graphs; shapes and indices are not among them. */
  readonly parameters: number;
  /** Bytes of all constants. */
  readonly weightBytes: number;
  /** Labels of nodes whose cost is not known, because shapes or numbers of turns are not. */
  readonly unknown: readonly string[];
  /** Nodes that multiply and accumulate, most expensive first. */
  readonly nodes: readonly NodeCost[];
}

export interface NodeCost {
  readonly view: GraphView;
  readonly node: Node;
  /** In one run of the model: over all turns of the loops and calls of the functions that it stands in. */
  readonly macs: number;
}

export interface CostOptions extends InferOptions {
  /** Types that were already inferred, in the place of `inputs`. */
  readonly types?: Types;
}

/**
 * Counts the multiply-accumulates of one run from the shapes of values: convolutions, matrix products, recurrent layers,
 * attention; all else counts as 0. An `If` counts as its costlier branch, nodes of the other as 0. A loop whose number of
 * turns is not known counts as one turn, and is named in `unknown`, as are nodes whose shapes are free: give `inputs`.
 * @example costOf(model, { inputs: new Map([["image", [1, 3, 224, 224]]]) }).macs
 */
export function costOf(model: Model, options: CostOptions = {}): Cost {
  const types = options.types ?? inferTypes(model, options);
  const index = viewOf(model);
  const views = new Map(index.graphs.map((v) => [v.graph, v]));
  const unknown = new Set<string>();
  const functions = new Map(model.functions.map((f) => [operatorOf({ domain: f.domain, op: f.name }), f.body]));
  const known = new Map<Graph, Totals>();
  const open = new Set<Graph>();

  /** The nodes of a graph and of those inside, in one run of it. */
  const totalsOf = (graph: Graph): Totals => {
    const found = known.get(graph);
    if (found || open.has(graph)) return found ?? new Map();
    open.add(graph);
    const totals: Totals = new Map();
    const view = views.get(graph);
    for (const n of view?.graph.nodes ?? []) addNode(n, view!, totals);
    open.delete(graph);
    known.set(graph, totals);
    return totals;
  };

  const addNode = (n: Node, view: GraphView, totals: Totals) => {
    const body = functions.get(operatorOf(n));
    if (body) return merge(totals, totalsOf(body), 1);
    if (n.domain !== "") return;
    const rule = macRules.get(n.op);
    if (rule) {
      const shape = (name: string | undefined) => (name ? numericShape(types, view, name) : undefined);
      const macs = rule({ node: n, input: (i) => shape(n.inputs[i]), output: (i) => shape(n.outputs[i]) });
      if (macs === undefined) unknown.add(labelOf(n));
      else merge(totals, new Map([[n, { view, macs }]]), 1);
      return;
    }
    const inner = [...subgraphsOf(n)].map((s) => totalsOf(s.graph));
    if (inner.length === 0) return;
    if (n.op === "If") {
      const most = inner.map(sumOf).reduce((best, macs, i, all) => (macs > all[best]! ? i : best), 0);
      for (const [i, part] of inner.entries()) merge(totals, part, i === most ? 1 : 0);
      return;
    }
    const turns = turnsOf(n, view, types);
    if (typeof turns !== "number" && sumOf(inner[0]!) > 0) unknown.add(labelOf(n));
    for (const part of inner) merge(totals, part, typeof turns === "number" ? turns : 1);
  };

  const totals = totalsOf(model.graph);
  const constants = index.graphs.flatMap((v) => [...constantsOf(v.graph)]);
  return {
    macs: sumOf(totals),
    parameters: constants.reduce((n, t) => n + (isParameter(t) ? elementCount(t.shape) : 0), 0),
    weightBytes: constants.reduce((n, t) => n + t.byteLength, 0),
    unknown: [...unknown],
    nodes: [...totals].map(([node, t]) => ({ node, ...t })).sort((a, b) => b.macs - a.macs),
  };
}

type Totals = Map<Node, { readonly view: GraphView; readonly macs: number }>;

const sumOf = (totals: Totals): number => [...totals.values()].reduce((n, t) => n + t.macs, 0);

function merge(into: Totals, part: Totals, times: number): void {
  for (const [node, { view, macs }] of part) into.set(node, { view, macs: macs * times + (into.get(node)?.macs ?? 0) });
}

function numericShape(types: Types, view: GraphView, name: string): readonly number[] | undefined {
  const type = types.of(view, name);
  const shape = type?.kind === "tensor" ? type.shape : undefined;
  return shape?.every((d) => typeof d === "number") ? (shape as readonly number[]) : undefined;
}

/** How often the body of a loop runs at most: that it ends itself before is not looked for. */
function turnsOf(n: Node, view: GraphView, types: Types): Dim {
  const [first, condition] = n.inputs;
  if (n.op === "Loop") {
    const goes = !condition || types.constantInts(view, condition)?.[0] === 1;
    return first && goes ? (types.constantInts(view, first)?.[0] ?? null) : null;
  }
  if (n.op !== "Scan") return null;
  const slices = Number(attribute(n, "num_scan_inputs", "int") ?? 1);
  const type = types.of(view, n.inputs[n.inputs.length - slices] ?? "");
  const axis = intsAttribute(n, "scan_input_axes")?.[0] ?? 0;
  return type?.kind === "tensor" ? (type.shape?.at(axis) ?? null) : null;
}

function* constantsOf(g: Graph): Generator<Tensor> {
  yield* g.weights.values();
  for (const s of g.sparseWeights.values()) yield s.values;
  for (const n of g.nodes) {
    const held = constantNodeValue(n);
    if (held) yield held;
  }
}

const isParameter = ({ dtype }: Tensor): boolean => isFloat(dtype) || (/^u?int/.test(dtype) && dtypeBits[dtype] < 32);
