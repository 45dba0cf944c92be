import {
  dataOf,
  elementCount,
  type Model,
  operatorOf,
  type ResidentTensor,
  type Tensor,
  type Use,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { biasInputs, namePattern, weightInputs } from "@pare/ops/weights";

/** Inputs at which operators take parameters, beside matrices and biases. */
const parameterInputs: ReadonlyMap<string, readonly number[]> = new Map([
  ["BatchNormalization", [1, 2]],
  ["InstanceNormalization", [1, 2]],
  ["LayerNormalization", [1, 2]],
  ["GroupNormalization", [1, 2]],
  ["RMSNormalization", [1]],
  ["PRelu", [1]],
  ["LSTM", [1, 2, 3, 5, 6, 7]],
  ["GRU", [1, 2, 3, 5]],
  ["RNN", [1, 2, 3, 5]],
]);
/** Arithmetic, in which exported models say biases, scales and embeddings of positions. */
const arithmetic = new Set(["Add", "Sub", "Mul", "Concat", "Expand"]);
/** Operators whose first input is the same numbers in another form. */
const carriers = new Set([
  "Identity",
  "Transpose",
  "Reshape",
  "Squeeze",
  "Unsqueeze",
  "Cast",
  "QuantizeLinear",
  "DequantizeLinear",
]);
/** Larger numbers in arithmetic hide what must not be seen: they are masks. */
const MASK = 1e3;

export interface ParameterSelection {
  /** Names of weights that are trained, `*` for anything, in the place of those that are found. */
  readonly include?: readonly string[] | undefined;
  /** Names of weights that stay as they are. */
  readonly exclude?: readonly string[] | undefined;
}

/**
 * The weights of the main graph that training moves: float32 that operators take as matrices, filters, biases, scales or
 * tables, and lists of more than one number in arithmetic that are no masks. Small constants, such as an epsilon, are not.
 */
export function parametersOf(model: Model, { include, exclude }: ParameterSelection = {}): Weight[] {
  const { main } = viewOf(model);
  return [...weightsOf(viewOf(model), { names: namePattern(include, exclude) })].filter(
    (w) =>
      w.view === main &&
      w.tensor.dtype === "float32" &&
      elementCount(w.tensor.shape) > 0 &&
      (include !== undefined || w.uses.some((u) => takes(w.tensor, u, 0))),
  );
}

function takes(t: Tensor, { view, node: n, index }: Use, depth: number): boolean {
  const op = operatorOf(n);
  if (weightInputs.get(op)?.includes(index) || biasInputs.get(op) === index || parameterInputs.get(op)?.includes(index))
    return true;
  if (arithmetic.has(op)) return elementCount(t.shape) > 1 && !isMask(t);
  if (!carriers.has(op) || index !== 0 || depth > 8) return false;
  return view.uses(n.outputs[0]!).some((use) => takes(t, use, depth + 1));
}

const isMask = (t: Tensor): boolean =>
  t.bytes !== undefined && dataOf(t as ResidentTensor<"float32">).some((v) => !(Math.abs(v) < MASK));
