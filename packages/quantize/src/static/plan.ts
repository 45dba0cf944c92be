import {
  type GraphView,
  labelOf,
  type Model,
  type Node,
  operatorOf,
  type QuantizationScheme,
  type QuantizedOperator,
  viewOf,
} from "@pare/core";
import type { Types } from "@pare/ops/infer";

/** A node, and those computed together with it, that become integer arithmetic. */
export interface QuantizedNode {
  readonly node: Node;
  readonly operator: QuantizedOperator;
  /** Nodes after it that are computed with it, in order. */
  readonly tail: readonly Node[];
  /** Where it reads activations: a node of the group and the position of the input. */
  readonly reads: readonly { readonly node: Node; readonly index: number }[];
  /** What the group gives: the last node's output. */
  readonly output: string;
  /** Whether that is given in codes: readers of it have nothing else to read. */
  readonly codes: boolean;
}

export interface QuantizationPlan {
  /** In the order of the graph. */
  readonly groups: readonly QuantizedNode[];
  /** Nodes that a target would compute in integers and that stay float32, with the reason. */
  readonly left: ReadonlyMap<Node, string>;
  /** Values that get codes. Those with the same representative share them. */
  readonly values: ReadonlyMap<string, string>;
  /** Codes that operators always give, by representative. */
  readonly fixed: ReadonlyMap<string, { readonly scale: number; readonly zeroPoint: number }>;
}

/**
 * Decides which nodes of the main graph a target computes in integers, and which values have codes for it.
 * @param meant whether a node of the `compute` kind is in scope; others are not spoken of
 */
export function planQuantization(
  model: Model,
  scheme: QuantizationScheme,
  types: Types,
  meant: (node: Node) => boolean,
): QuantizationPlan {
  const { main } = viewOf(model);
  const { nodes } = main.graph;
  const left = new Map<Node, string>();
  const groups = new Map<Node, QuantizedNode>();
  /** Nodes that are the tail of another. */
  const taken = new Set<Node>();
  const isFloat = (v: string) => {
    const type = types.of(main, v);
    return type?.kind === "tensor" && type.dtype === "float32";
  };
  for (const node of nodes) {
    const operator = scheme.operators.get(operatorOf(node));
    if (!operator || taken.has(node) || (operator.role === "compute" && !meant(node))) continue;
    const verdict = operator.accepts?.(node, main) ?? { ok: true };
    const group = groupOf(main, node, operator, scheme);
    const reason = verdict.ok ? misfit(main, group, isFloat) : verdict.reason;
    if (reason !== undefined) {
      left.set(node, reason);
      continue;
    }
    groups.set(node, group);
    for (const t of group.tail) taken.add(t);
  }

  const { demanded, chosen } = choose(main, groups);
  const values = new Map<string, string>();
  const fixed = new Map<string, { scale: number; zeroPoint: number }>();
  const find = (v: string): string => {
    const up = values.get(v) ?? v;
    if (up === v) return v;
    const root = find(up);
    values.set(v, root);
    return root;
  };
  const add = (v: string) => {
    if (values.has(v)) return;
    values.set(v, v);
    const maker = main.producer(v);
    const output = maker && scheme.operators.get(operatorOf(maker))?.output;
    if (typeof output === "object") fixed.set(v, output);
  };
  const list: QuantizedNode[] = [];
  for (const group of chosen) {
    const { operator, output, reads } = group;
    const inputs = reads.map(({ node, index }) => node.inputs[index]!);
    inputs.forEach(add);
    const codes = operator.output !== "float";
    if (operator.output === "input") {
      const given = new Set(inputs.map((v) => JSON.stringify(fixed.get(find(v)))));
      if (given.size > 1) {
        left.set(group.node, "gives the codes of its inputs, some of which are fixed");
        continue;
      }
      add(output);
      for (const v of [...inputs.slice(1), output]) values.set(find(v), find(inputs[0]!));
    } else if (codes || demanded.has(output)) add(output);
    list.push({ ...group, codes });
  }
  for (const v of values.keys()) values.set(v, find(v));
  return { groups: list, left, values, fixed };
}

function groupOf(view: GraphView, node: Node, operator: QuantizedOperator, scheme: QuantizationScheme): QuantizedNode {
  const tail = tailOf(view, node, scheme);
  const parameters = [operator.weight, operator.bias].filter(
    (i) => i !== undefined && view.constant(node.inputs[i] ?? ""),
  );
  const own = operator.activations ?? node.inputs.map((_, i) => i).filter((i) => !parameters.includes(i));
  const reads = own.filter((i) => node.inputs[i]).map((index) => ({ node, index }));
  let last = node;
  for (const t of tail) {
    t.inputs.forEach((v, index) => {
      if (v !== "" && v !== last.outputs[0] && !view.constant(v)) reads.push({ node: t, index });
    });
    last = t;
  }
  return { node, operator, tail, reads, output: last.outputs[0]!, codes: true };
}

/** The longest fused pattern that follows a node and that nothing else looks into. */
function tailOf(view: GraphView, node: Node, { fused, fusesResidual = false }: QuantizationScheme): Node[] {
  let best: Node[] = [];
  for (const [first, ...rest] of fused) {
    if (first !== operatorOf(node) || rest.length <= best.length) continue;
    const tail: Node[] = [];
    let at = node;
    for (const op of rest) {
      const uses = view.uses(at.outputs[0]!);
      const next = uses[0]?.node;
      if (uses.length !== 1 || uses[0]!.view !== view || view.isOutput(at.outputs[0]!)) break;
      if (!next || operatorOf(next) !== op) break;
      // An addition of a constant is a bias; one of another activation is a residual.
      if (!fusesResidual && next.inputs.some((v) => v !== "" && v !== at.outputs[0] && !view.constant(v))) break;
      tail.push(next);
      at = next;
    }
    if (tail.length === rest.length) best = tail;
  }
  return best;
}

function misfit(view: GraphView, { node, operator, reads }: QuantizedNode, isFloat: (v: string) => boolean) {
  for (const { node: reader, index } of reads) {
    const v = reader.inputs[index]!;
    if (!isFloat(v)) return `${v} is not known to be float32`;
    // Constants become codes of the format of activations where an operator only carries; they must be at hand for that.
    const constant = view.constant(v);
    if (constant && (operator.role === "compute" || !constant.bytes)) return `${v} is a constant`;
  }
  if (reads.length === 0) return "reads no activation";
  const { weight, bias } = operator;
  const w = weight === undefined ? undefined : node.inputs[weight];
  if (w && view.constant(w) && view.constant(w)!.dtype !== "float32") return `its weight is ${view.constant(w)!.dtype}`;
  const b = bias === undefined ? "" : (node.inputs[bias] ?? "");
  if (b !== "" && view.constant(b)?.dtype !== "float32") return "its bias is no float32 constant";
  return undefined;
}

/** Operators that only carry are taken where all that they read has codes and somebody wants codes of what they give. */
function choose(view: GraphView, groups: ReadonlyMap<Node, QuantizedNode>) {
  /** Values of which an operator that computes reads codes, directly or through operators that carry. */
  const demanded = new Set<string>();
  for (const n of view.graph.nodes.toReversed()) {
    const g = groups.get(n);
    if (g && (g.operator.role === "compute" || demanded.has(g.output)))
      for (const { node, index } of g.reads) demanded.add(node.inputs[index]!);
  }
  const coded = new Set<string>();
  const chosen: QuantizedNode[] = [];
  for (const n of view.graph.nodes) {
    const g = groups.get(n);
    if (!g) continue;
    const inputs = g.reads.map(({ node, index }) => node.inputs[index]!);
    const carried =
      demanded.has(g.output) &&
      inputs.every((v) => coded.has(v) || view.constant(v)) &&
      inputs.some((v) => coded.has(v));
    if (g.operator.role === "carry" && !carried) continue;
    chosen.push(g);
    if (g.operator.output !== "float" || demanded.has(g.output)) coded.add(g.output);
  }
  return { demanded, chosen };
}

/** Names by which options may mean a node: its own, its outputs', its weight's. */
export const namesOf = (node: Node, operator: QuantizedOperator | undefined): string[] =>
  [labelOf(node), ...node.outputs, operator?.weight === undefined ? "" : (node.inputs[operator.weight] ?? "")].filter(
    (n) => n !== "",
  );
