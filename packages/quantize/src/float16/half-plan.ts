import {
  elementsOf,
  type GraphView,
  intAttribute,
  type Model,
  type Node,
  type PassContext,
  type ResidentTensor,
  subgraphsOf,
  type Tensor,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import type { Types } from "@pare/ops/infer";
import { statisticKey } from "@pare/ops/observe";
import { randomOperators } from "@pare/ops/schema";
import { namePattern, type Scope } from "@pare/ops/weights";
import { HALF_MAX, HALF_MIN_NORMAL, halfError, misfit } from "./half-error.ts";

export type Precision = "float32" | "float16";

/** Which nodes compute in float16, and what that makes of values and constants. */
export interface HalfPlan {
  /** Graphs that were looked at: all but the bodies of functions, whose values have no types. */
  readonly graphs: ReadonlySet<GraphView>;
  /** Nodes that compute in float16, with the positions of inputs and outputs that are float16 then. */
  readonly converted: ReadonlyMap<
    Node,
    { readonly inputs: ReadonlySet<number>; readonly outputs: ReadonlySet<number> }
  >;
  /** Values made in float16. */
  readonly half: ReadonlyMap<GraphView, ReadonlySet<string>>;
  /** float32 constants that keep their worth in float16. Those that are then read so are reported as done. */
  readonly constants: ReadonlyMap<GraphView, ReadonlyMap<string, Weight>>;
  isFloat32(view: GraphView, name: string): boolean;
}

/** Positions that stay float32 by the operator's definition, though others may be float16. (ONNX 1.22, opset 27.) */
const fixedInputs: ReadonlyMap<string, readonly number[]> = new Map([
  ["Resize", [2]],
  ["Upsample", [1]],
]);
const fixedOutputs: ReadonlyMap<string, readonly number[]> = new Map([["LayerNormalization", [1, 2]]]);

/** Operators that are not converted, and why. */
const kept: ReadonlyMap<string, string> = new Map([
  ...["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"].map(
    (op) => [op, "is part of a quantization"] as const,
  ),
  ...["NonMaxSuppression", "TfIdfVectorizer"].map((op) => [op, "takes no float16"] as const),
  ...["EyeLike", ...randomOperators].map((op) => [op, "makes float32 values of its own"] as const),
]);

/** Values of the main graph whose magnitude over samples decides whether they may be float16. */
export function valuesToObserve(model: Model, types: Types): string[] {
  const { main } = viewOf(model);
  return main.graph.nodes.flatMap((n) =>
    n.op === "Constant" ? [] : n.outputs.filter((v) => v !== "" && isFloat32(types, main, v)),
  );
}

const isFloat32 = (types: Types, view: GraphView, name: string): boolean => {
  const type = types.of(view, name);
  return type?.kind === "tensor" && type.dtype === "float32";
};

export async function planHalf(model: Model, types: Types, scope: Scope, ctx: PassContext): Promise<HalfPlan> {
  const rootOf = (view: GraphView): GraphView => (view.parent ? rootOf(view.parent) : view);
  const { main, graphs: all } = viewOf(model);
  const graphs = new Set(all.filter((view) => rootOf(view) === main));
  const { constants, misfits } = await measureConstants(model, graphs, ctx);
  const inScope = namePattern(scope.include, scope.exclude);
  const integers = makersOfIntegers(graphs, types);

  const magnitude = (view: GraphView, name: string): string | undefined => {
    const t = view === main ? ctx.statistics.get(statisticKey("absmax", name)) : undefined;
    if (!t) return undefined;
    const most = new Float32Array((t as ResidentTensor).bytes.slice().buffer)[0]!;
    if (!(most <= HALF_MAX)) return `${name} reaches ${most.toPrecision(3)}, beyond float16`;
    if (most > 0 && most < HALF_MIN_NORMAL) return `${name} stays below ${most.toPrecision(3)}, too small for float16`;
    return undefined;
  };
  const reasonAgainst = (n: Node, view: GraphView, values: readonly string[]): string | undefined => {
    if (n.domain !== "") return "is an operator of another domain";
    const fixed = kept.get(n.op);
    if (fixed) return fixed;
    if (!subgraphsOf(n).next().done) return "holds graphs: what goes in and out stays float32";
    if (scope.ops && !scope.ops.includes(n.op)) return "is out of scope";
    if (!inScope(n.name || n.outputs[0] || "")) return "is out of scope";
    if (integers.has(n)) return "computes sizes or indices, which float16 would round";
    for (const v of n.inputs)
      if (v !== "" && !types.of(view.definer(v) ?? view, v)) return `the type of ${v} is not known`;
    for (const v of values) {
      const definer = view.definer(v) ?? view;
      const bad = misfits.get(definer)?.get(v);
      const reason = bad ? `${v}: ${bad}` : magnitude(definer, v);
      if (reason) return reason;
    }
    return undefined;
  };

  const converted = new Map<Node, { inputs: Set<number>; outputs: Set<number> }>();
  const half = new Map<GraphView, Set<string>>();
  for (const view of graphs)
    for (const n of view.graph.nodes) {
      if (n.op === "Constant" && n.domain === "") continue;
      const at = (values: readonly string[], fixed: readonly number[] = []) =>
        new Set(
          values.flatMap((v, i) =>
            v !== "" && !fixed.includes(i) && isFloat32(types, view.definer(v) ?? view, v) ? [i] : [],
          ),
        );
      const inputs = at(n.inputs, fixedInputs.get(n.op));
      const outputs = at(n.outputs, fixedOutputs.get(n.op));
      if (inputs.size + outputs.size === 0) continue;
      const values = [...[...inputs].map((i) => n.inputs[i]!), ...[...outputs].map((i) => n.outputs[i]!)];
      const reason = reasonAgainst(n, view, values);
      if (reason !== undefined) {
        ctx.skip({ view, node: n }, reason);
        continue;
      }
      converted.set(n, { inputs, outputs });
      const made = half.get(view) ?? new Set();
      half.set(view, made);
      for (const i of outputs) made.add(n.outputs[i]!);
    }
  if (ctx.statistics.size === 0 && converted.size > 0)
    ctx.diagnose({
      code: "quantize/not-measured",
      severity: "warning",
      message: "inner values were not measured: one that leaves the range of float16 would overflow",
      hint: "Give samples and a runtime, or use compute float32.",
    });
  return { graphs, converted, half, constants, isFloat32: (view, name) => isFloat32(types, view, name) };
}

/** Rounds every float32 constant on trial: those that keep their worth, and why others do not. */
async function measureConstants(model: Model, graphs: ReadonlySet<GraphView>, ctx: PassContext) {
  const constants = new Map<GraphView, Map<string, Weight>>();
  const misfits = new Map<GraphView, Map<string, string>>();
  const all = [...weightsOf(viewOf(model))].filter((w) => graphs.has(w.view) && w.tensor.dtype === "float32");
  for (const [i, w] of all.entries()) {
    ctx.progress(i, all.length);
    const exposed = w.view.isOutput(w.name) || w.view.graph.inputs.some((v) => v.name === w.name);
    if (exposed) continue;
    const error = await halfError(elementsOf(w.tensor as Tensor<"float32">, ctx.signal));
    const reason = misfit(error);
    const into = <T>(map: Map<GraphView, Map<string, T>>, item: T) =>
      map.set(w.view, (map.get(w.view) ?? new Map<string, T>()).set(w.name, item));
    if (reason === undefined) into(constants, w);
    else {
      into(misfits, reason);
      ctx.skip(w, reason);
    }
  }
  return { constants, misfits };
}

/**
 * Nodes from whose floats integers are made (sizes, positions), followed backwards through small values. A size of
 * 2,049 is not a float16.
 */
function makersOfIntegers(graphs: ReadonlySet<GraphView>, types: Types): ReadonlySet<Node> {
  const found = new Set<Node>();
  const small = (view: GraphView, v: string) => {
    const type = types.of(view, v);
    return type?.kind === "tensor" && type.shape !== undefined && type.shape.length <= 1;
  };
  const follow = (n: Node, view: GraphView) => {
    const open: [Node, GraphView][] = [[n, view]];
    for (let next = open.pop(); next; next = open.pop()) {
      const [current, at] = next;
      if (found.has(current)) continue;
      found.add(current);
      for (const v of current.inputs) {
        const definer = at.definer(v);
        const producer = definer?.producer(v);
        if (definer && producer && isFloat32(types, definer, v) && small(definer, v)) open.push([producer, definer]);
      }
    }
  };
  for (const view of graphs)
    for (const n of view.graph.nodes) {
      if (n.op !== "Cast" || n.domain !== "") continue;
      const to = intAttribute(n, "to", 0);
      const integer = (to >= 2 && to <= 7) || to === 12 || to === 13;
      if (integer && isFloat32(types, view.definer(n.inputs[0]!) ?? view, n.inputs[0]!)) follow(n, view);
    }
  return found;
}
