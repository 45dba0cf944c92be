import {
  type Dim,
  dataOf,
  type GraphView,
  intAttribute,
  type Node,
  operatorOf,
  type ResidentTensor,
  type Tensor,
  tensor,
} from "@pare/core";
import type { ChannelOperator } from "../weights/channels.ts";

/** What makes a value come out with its channels multiplied. */
export interface Folded {
  /** Constants that take the place of inputs of nodes. */
  readonly inputs: readonly { readonly node: Node; readonly index: number; readonly tensor: Tensor }[];
  /** The product whose output channels are multiplied, if it begins with one. */
  readonly operator?: ChannelOperator;
}

/** Operators that multiply through: `f(s x) = s f(x)` for s > 0. */
const homogeneous: ReadonlySet<string> = new Set(["Relu", "LeakyRelu", "Identity", "Dropout"]);

/**
 * What must change before `value` for its channels to come out multiplied by `factors` and nothing else to: the weights of
 * the normalization, product or sum that writes it. A sentence where nothing there can take the factors.
 * @param axis that of the channels, from the first on
 * @param isReader whether a node is one that reads the multiplied value
 */
export function foldFactors(
  view: GraphView,
  value: string,
  factors: Float64Array,
  axis: number,
  operators: ReadonlyMap<Node, ChannelOperator>,
  shapeOf: (value: string) => readonly Dim[] | undefined,
  isReader: (node: Node) => boolean,
): Folded | string {
  if (view.isOutput(value)) return `${value} is an output`;
  const other = view.uses(value).find((u) => u.view !== view || !isReader(u.node));
  if (other) return `${value} is read by ${operatorOf(other.node)} too`;
  const maker = view.producer(value);
  if (!maker) return `${value} is an input`;
  const rank = shapeOf(value)?.length ?? 0;
  const op = operatorOf(maker);
  const into = (index: number): { node: Node; index: number; tensor: Tensor } | undefined => {
    const constant = view.constant(maker.inputs[index] ?? "");
    if (constant?.dtype !== "float32" || !constant.bytes) return undefined;
    const made = multiplied(constant as ResidentTensor<"float32">, factors, rank - axis);
    return made && { node: maker, index, tensor: made };
  };
  const all = (...indices: number[]): Folded | string => {
    const inputs = indices.filter((i) => maker.inputs[i]).map(into);
    return inputs.every((i) => i !== undefined) ? { inputs } : `the factors of ${op} are no constants`;
  };
  const through = (from: string): Folded | string =>
    foldFactors(view, from, factors, axis, operators, shapeOf, (n) => n === maker);

  const known = operators.get(maker);
  if (known) {
    if ((maker.op.startsWith("Conv") ? 1 : rank - 1) !== axis) return `${op} has its channels along another axis`;
    const bias = known.bias === undefined ? { inputs: [] } : all(2);
    return typeof bias === "string" ? bias : { ...bias, operator: known };
  }
  switch (op) {
    case "LayerNormalization":
    case "RMSNormalization": {
      const normalized = intAttribute(maker, "axis", -1);
      const isLast = axis === rank - 1 && (normalized === -1 || normalized === axis);
      return isLast ? all(1, 2) : `${op} is not along the last axis`;
    }
    case "Mul":
    case "Add": {
      const at = maker.inputs.findIndex((v) => view.constant(v));
      if (at < 0) break;
      // The constant must not have more to say of the shape than the other factor.
      const from = maker.inputs[1 - at]!;
      const before = shapeOf(from);
      if (before?.length !== rank || before[axis] !== factors.length) break;
      const own = all(at);
      if (op === "Mul" || typeof own === "string") return own;
      const rest = through(from);
      return typeof rest === "string" ? rest : { ...rest, inputs: [...own.inputs, ...rest.inputs] };
    }
    default:
      if (homogeneous.has(op)) return through(maker.inputs[0]!);
  }
  return `is written by ${op}, which cannot take the factors`;
}

/**
 * A constant with the channels multiplied of what it is broadcast to; where it has one number for them it gets one for each.
 * @param fromLast which axis the channels have, counted from behind: 1 is the last
 */
function multiplied(t: ResidentTensor<"float32">, factors: Float64Array, fromLast: number): Tensor | undefined {
  const data = dataOf(t) as Float32Array;
  const channels = factors.length;
  const shape = [...new Array<number>(Math.max(0, fromLast - t.shape.length)).fill(1), ...t.shape];
  const axis = shape.length - fromLast;
  const own = shape[axis]!;
  if (own !== 1 && own !== channels) return undefined;
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = data.length / (own * inner);
  if (own === 1 && outer * inner > 1) return undefined;
  const made = new Float32Array(outer * channels * inner);
  for (let i = 0; i < made.length; i++) {
    const c = Math.floor(i / inner) % channels;
    made[i] = data[own === 1 ? 0 : i]! * factors[c]!;
  }
  return tensor("float32", shape.with(axis, channels), made);
}
