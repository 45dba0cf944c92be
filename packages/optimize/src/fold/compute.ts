import {
  byteLengthOf,
  computedTensor,
  type DType,
  dataOf,
  elementCount,
  type GraphView,
  type Node,
  RESIDENT_LIMIT,
  type ResidentTensor,
  resident,
  subgraphsOf,
  type Tensor,
} from "@pare/core";
import { evaluateNode } from "@pare/ops/evaluate";
import type { Types } from "@pare/ops/infer";
import { isInteger, tensorOf } from "@pare/ops/numeric";
import { randomOperators } from "@pare/ops/schema";
import { reshaped } from "@pare/ops/weights";

/** Operators whose results are random, and those whose form carries a meaning that must stay. */
const unfoldable = new Set([
  ...randomOperators,
  "Constant",
  "QuantizeLinear",
  "DequantizeLinear",
  "DynamicQuantizeLinear",
]);

/** Operators that give the elements of their first input in another shape. */
const reshaping = new Set(["Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"]);

/** Operators that are computed when someone reads the result: they cannot fail once the types of their inputs fit. */
const deferrable = new Set(
  "Slice Concat Split Transpose Cast Add Sub Mul Div Neg Sqrt Reciprocal Exp Abs Relu Sigmoid Tanh".split(" "),
);

/** Largest result that is computed when it is read: it is computed as a whole. */
const MOST_BYTES = 1 << 24;

export const canFold = (n: Node, view: GraphView): boolean =>
  n.domain === "" &&
  !unfoldable.has(n.op) &&
  n.outputs.some(Boolean) &&
  subgraphsOf(n).next().done === true &&
  !n.outputs.some((v) => view.isOutput(v));

/** Results of a node whose inputs are constants, or whose integers follow from shapes alone; undefined where they do not. */
export function resultsOf(
  n: Node,
  view: GraphView,
  constant: (name: string) => Tensor | undefined,
  types: Types,
): readonly (Tensor | undefined)[] | undefined {
  const inputs = n.inputs.map((v) => (v === "" ? undefined : constant(v)));
  if (n.inputs.length === 0 || n.inputs.some((v, i) => v !== "" && !inputs[i])) return fromShapes(n, view, types);
  const specs = n.outputs.map((v) => specOf(view, v, types));
  const size = specs.reduce((sum, s) => sum + (s?.bytes ?? 0), 0);
  const known = n.outputs.every((v, i) => v === "" || specs[i]);
  if (size > MOST_BYTES && !reshaping.has(n.op)) return undefined;
  if (inputs.every((t) => t === undefined || t.bytes) && (!known || size <= 4 * RESIDENT_LIMIT)) {
    const results = tryEvaluate(n, inputs as (ResidentTensor | undefined)[]);
    return results && n.outputs.every((v, i) => v === "" || results[i]) ? results : undefined;
  }
  if (!known) return undefined;
  if (reshaping.has(n.op)) return [reshaped(inputs[0]!, specs[0]!.shape)];
  const given = inputs.reduce((sum, t) => sum + (t?.byteLength ?? 0), 0);
  if (!deferrable.has(n.op) || given > MOST_BYTES) return undefined;
  return specs.map((spec, i) => spec && deferred(n, inputs, i, spec));
}

interface Spec {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
}

function specOf(view: GraphView, name: string, types: Types): Spec | undefined {
  const type = name === "" ? undefined : types.of(view, name);
  if (type?.kind !== "tensor" || type.dtype === "string" || !type.shape?.every((d) => typeof d === "number"))
    return undefined;
  const shape = type.shape as readonly number[];
  return { dtype: type.dtype, shape, bytes: byteLengthOf(type.dtype, elementCount(shape)) };
}

/** What `Shape` gives and what is computed from it, where inference knows all of it. */
function fromShapes(n: Node, view: GraphView, types: Types): readonly (Tensor | undefined)[] | undefined {
  const results = n.outputs.map((v) => {
    const values = v === "" ? undefined : types.constantInts(view, v);
    const spec = values?.every((d) => typeof d === "number") ? specOf(view, v, types) : undefined;
    return spec && (isInteger(spec.dtype) || spec.dtype === "bool")
      ? tensorOf(spec.dtype, spec.shape, values as readonly number[])
      : undefined;
  });
  return n.outputs.every((v, i) => v === "" || results[i]) ? results : undefined;
}

/** A node whose inputs do not fit it stays as it is: that is for whoever runs the model to report. */
function tryEvaluate(n: Node, inputs: readonly (ResidentTensor | undefined)[]): ResidentTensor[] | undefined {
  try {
    return evaluateNode(n, inputs);
  } catch {
    return undefined;
  }
}

function deferred(n: Node, inputs: readonly (Tensor | undefined)[], output: number, { dtype, shape }: Spec): Tensor {
  return computedTensor({
    dtype,
    shape,
    async compute(signal) {
      const given: (ResidentTensor | undefined)[] = [];
      for (const t of inputs) given.push(t && (await resident(t, signal)));
      return dataOf(evaluateNode(n, given)![output]!);
    },
  });
}
