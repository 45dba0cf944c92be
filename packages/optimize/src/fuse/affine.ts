import {
  attribute,
  constantOf,
  dataOf,
  deriveTensor,
  type GraphView,
  intAttribute,
  type Model,
  type Node,
  type ResidentTensor,
  type Rule,
  type RuleContext,
  type Tensor,
  tensor,
} from "@pare/core";
import { Fingerprint } from "@pare/ops/numeric";
import { rankOf, readOnce, rulePass } from "../rule-pass.ts";

/** `y = x * scale + shift`, with a number for each output channel. */
interface Affine {
  readonly scale: Float64Array | undefined;
  readonly shift: Float64Array | undefined;
}

/** A linear operator whose weight's channels can be scaled. */
interface Linear {
  readonly node: Node;
  readonly weight: Tensor<"float32">;
  readonly channels: number;
  /** Elements of the weight in a row that are of one channel. */
  readonly inner: number;
  readonly bias: Float32Array;
  /** The axis of the channels in the result, counted from the end. */
  readonly fromEnd: number;
}

/** BatchNormalization at inference: `(x - mean) / sqrt(var + epsilon) * scale + bias`. */
function normalization(n: Node, view: GraphView, { channels }: Linear): Affine | undefined {
  if (n.outputs.slice(1).some(Boolean) || intAttribute(n, "training_mode", 0) !== 0) return undefined;
  const [scale, shift, mean, variance] = n.inputs.slice(1).map((v) => floats(view, v, channels));
  if (!scale || !shift || !mean || !variance) return undefined;
  const epsilon = attribute(n, "epsilon", "float") ?? 1e-5;
  const factor = Float64Array.from(scale, (s, c) => s / Math.sqrt(variance[c]! + epsilon));
  return {
    scale: factor,
    shift: Float64Array.from(shift, (b, c) => b - mean[c]! * factor[c]!),
  };
}

/** Arithmetic with a constant that has one number, or one for each channel. */
function arithmetic(n: Node, view: GraphView, linear: Linear, value: string, model: Model): Affine | undefined {
  const at = n.inputs[0] === value ? 1 : 0;
  if (at === 0 && (n.op === "Sub" || n.op === "Div")) return undefined;
  const numbers = perChannel(constantOf(view, n.inputs[at]!), linear, rankOf(model, view, value));
  if (!numbers) return undefined;
  switch (n.op) {
    case "Add":
      return { scale: undefined, shift: numbers };
    case "Sub":
      return { scale: undefined, shift: numbers.map((v) => -v) };
    case "Mul":
      return { scale: numbers, shift: undefined };
    default:
      return { scale: numbers.map((v) => 1 / v), shift: undefined };
  }
}

/** The elements of a constant that is broadcast along all axes of a result of `rank` but that of the channels. */
function perChannel(t: ResidentTensor | undefined, l: Linear, rank: number | undefined): Float64Array | undefined {
  if (t?.dtype !== "float32" || t.shape.length > (rank ?? 1)) return undefined;
  const data = dataOf(t as ResidentTensor<"float32">);
  if (data.length === 1) return new Float64Array(l.channels).fill(data[0]!);
  const axis = t.shape.length - 1 - l.fromEnd;
  return data.length === l.channels && t.shape[axis] === l.channels ? Float64Array.from(data) : undefined;
}

function linearOf(n: Node, view: GraphView, model: Model): Linear | undefined {
  if (n.domain !== "") return undefined;
  const name = n.inputs[1] ?? "";
  const weight = view.constant(name);
  const definer = view.definer(name);
  if (weight?.dtype !== "float32" || !definer || !readOnce(definer, name)) return undefined;
  const layout = layoutOf(n, weight.shape, rankOf(model, view, n.outputs[0]!));
  if (!layout) return undefined;
  const { axis, fromEnd } = layout;
  const channels = weight.shape[axis]!;
  const inner = weight.shape.slice(axis + 1).reduce((count, d) => count * d, 1);
  const bias = n.inputs[2] ? floats(view, n.inputs[2], channels) : new Float32Array(channels);
  return bias && { node: n, weight: weight as Tensor<"float32">, channels, inner, bias, fromEnd };
}

/** The axis of a weight's output channels, and their axis in the result. */
function layoutOf(n: Node, shape: readonly number[], rank: number | undefined) {
  const last = shape.length - 1;
  switch (n.op) {
    case "Conv":
      return last >= 2 ? { axis: 0, fromEnd: last - 1 } : undefined;
    case "ConvTranspose":
      return last >= 2 && intAttribute(n, "group", 1) === 1 ? { axis: 1, fromEnd: last - 1 } : undefined;
    case "Gemm": {
      const isPlain = (attribute(n, "alpha", "float") ?? 1) === 1 && (attribute(n, "beta", "float") ?? 1) === 1;
      return isPlain ? { axis: intAttribute(n, "transB", 0) === 1 ? 0 : 1, fromEnd: 0 } : undefined;
    }
    default:
      return n.op === "MatMul" && last === 1 && (rank ?? 0) >= 2 ? { axis: 1, fromEnd: 0 } : undefined;
  }
}

/** A linear operator, then an affine one for each of its channels, is a linear operator with other weights. */
const linearThenAffine: Rule = {
  name: "linear-affine",
  ops: ["BatchNormalization", "Add", "Sub", "Mul", "Div"],
  match(n, view, ctx) {
    const isNorm = n.op === "BatchNormalization";
    for (const value of n.inputs.slice(0, isNorm ? 1 : 2)) {
      const made = view.producer(value);
      const linear = made && readOnce(view, value) ? linearOf(made, view, ctx.model) : undefined;
      const affine =
        linear && (isNorm ? normalization(n, view, linear) : arithmetic(n, view, linear, value, ctx.model));
      const add = affine && combined(linear, affine, n.outputs[0]!, ctx);
      if (add) return { remove: [n, linear.node], add: [add] };
    }
    return undefined;
  },
};

function combined(
  { node: n, weight, channels, inner, bias }: Linear,
  { scale, shift }: Affine,
  output: string,
  ctx: RuleContext,
): Node | undefined {
  const offset = Float32Array.from(bias, (b, c) => b * (scale?.[c] ?? 1) + (shift?.[c] ?? 0));
  if (!offset.every(Number.isFinite) || scale?.every(Number.isFinite) === false) return undefined;
  const hasBias = shift !== undefined || Boolean(n.inputs[2]);
  // MatMul has no place for a bias.
  if (hasBias && n.op === "MatMul") return undefined;
  const [x, w] = n.inputs;
  const inputs = [x!, scale ? ctx.weight(`${w}_scaled`, scaleChannels(weight, scale, inner)) : w!];
  if (hasBias) inputs.push(ctx.weight(`${output}_bias`, tensor("float32", [channels], offset)));
  return { ...n, inputs, outputs: [output] };
}

/** A product of matrices and a number for each column added to it: `Gemm`, which takes matrices only. */
const matMulAdd: Rule = {
  name: "matmul-add",
  ops: ["Add"],
  match(n, view, { model }) {
    for (const [i, value] of n.inputs.entries()) {
      const product = view.producer(value);
      if (product?.op !== "MatMul" || product.domain !== "" || !readOnce(view, value)) continue;
      const [x, w] = product.inputs as [string, string];
      const columns = view.constant(w)?.shape[1];
      const bias = n.inputs[1 - i]!;
      const fits = view.constant(bias)?.shape.length === 1 && view.constant(bias)!.shape[0] === columns;
      if (!fits || rankOf(model, view, x) !== 2 || view.constant(w)!.shape.length !== 2) continue;
      return { remove: [n, product], add: [{ ...product, op: "Gemm", inputs: [x, w, bias], outputs: n.outputs }] };
    }
    return undefined;
  },
};

function floats(view: GraphView, name: string, count: number): Float32Array | undefined {
  const t = constantOf(view, name);
  return t?.dtype === "float32" && t.shape.length === 1 && t.shape[0] === count
    ? dataOf(t as ResidentTensor<"float32">)
    : undefined;
}

/** Multiplies a weight by a factor for each channel; `inner` elements in a row are of one channel. */
function scaleChannels(weight: Tensor<"float32">, factor: Float64Array, inner: number): Tensor<"float32"> {
  return deriveTensor(weight, {
    key: `scale-channels@1:${inner},${new Fingerprint().add(factor)}`,
    map(data, _, start) {
      const scaled = new Float32Array(data.length);
      for (let i = 0; i < data.length; ) {
        const at = start + i;
        const f = factor[Math.floor(at / inner) % factor.length]!;
        const end = Math.min(data.length, i + inner - (at % inner));
        for (; i < end; i++) scaled[i] = data[i]! * f;
      }
      return scaled;
    },
  });
}

/**
 * Folds what scales and shifts the channels of a linear operator (BatchNormalization, arithmetic with constants) into its
 * weights, where no one else reads them or its result.
 */
export const fuseAffine = rulePass("fuse-affine", [linearThenAffine, matMulAdd]);
