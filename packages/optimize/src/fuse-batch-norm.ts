import {
  attribute,
  constantOf,
  dataOf,
  definePass,
  deriveTensor,
  type GraphView,
  intAttribute,
  type Node,
  PASS_API_VERSION,
  type ResidentTensor,
  type Rule,
  rewrite,
  type Tensor,
  tensor,
} from "@pare/core";

/**
 * Convolution, then BatchNormalization at inference: `(conv(x) - mean) / sqrt(var + epsilon) * scale + bias` is a
 * convolution whose output channels are scaled and shifted.
 */
const convBatchNorm: Rule = {
  name: "conv-batch-norm",
  ops: ["BatchNormalization"],
  match(norm, view, ctx) {
    const conv = view.producer(norm.inputs[0]!);
    if (!conv || conv.domain !== "" || (conv.op !== "Conv" && conv.op !== "ConvTranspose")) return undefined;
    const y = norm.inputs[0]!;
    const others = norm.outputs.slice(1).some((v) => v !== "" && (view.uses(v).length > 0 || view.isOutput(v)));
    if (view.uses(y).length !== 1 || view.isOutput(y) || others || intAttribute(norm, "training_mode", 0) !== 0)
      return undefined;

    const channels = channelsOf(conv, view);
    if (!channels) return undefined;
    const { weight, inner, count } = channels;
    const [scale, shift, mean, variance] = norm.inputs.slice(1).map((v) => floats(view, v, count));
    const bias = conv.inputs[2] ? floats(view, conv.inputs[2], count) : new Float32Array(count);
    if (!scale || !shift || !mean || !variance || !bias) return undefined;

    const epsilon = attribute(norm, "epsilon", "float") ?? 1e-5;
    const factor = Float64Array.from(scale, (s, c) => s / Math.sqrt(variance[c]! + epsilon));
    const offset = Float32Array.from(shift, (b, c) => b + (bias[c]! - mean[c]!) * factor[c]!);
    if (!factor.every(Number.isFinite) || !offset.every(Number.isFinite)) return undefined;
    const base = norm.outputs[0]!;
    const inputs = [
      conv.inputs[0]!,
      ctx.weight(`${base}_weight`, scaleChannels(weight, factor, inner)),
      ctx.weight(`${base}_bias`, tensor("float32", [count], offset)),
    ];
    return { remove: [norm, conv], add: [{ ...conv, inputs, outputs: [base] }] };
  },
};

/** The convolution's weight when only it reads it, the count of output channels, and elements after their axis. */
function channelsOf(conv: Node, view: GraphView) {
  const name = conv.inputs[1] ?? "";
  const weight = view.constant(name);
  const definer = view.definer(name);
  if (weight?.dtype !== "float32" || !definer || definer.uses(name).length !== 1 || definer.isOutput(name))
    return undefined;
  const transposed = conv.op === "ConvTranspose";
  if (weight.shape.length < 3 || (transposed && intAttribute(conv, "group", 1) !== 1)) return undefined;
  const axis = transposed ? 1 : 0;
  const inner = weight.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  return { weight: weight as Tensor<"float32">, inner, count: weight.shape[axis]! };
}

function floats(view: GraphView, name: string, count: number): Float32Array | undefined {
  const t = constantOf(view, name);
  return t?.dtype === "float32" && t.shape.length === 1 && t.shape[0] === count
    ? dataOf(t as ResidentTensor<"float32">)
    : undefined;
}

/** Multiplies a weight by a factor for each channel; `inner` elements in a row are of one channel. */
function scaleChannels(weight: Tensor<"float32">, factor: Float64Array, inner: number): Tensor<"float32"> {
  return deriveTensor(weight, {
    key: `scale-channels@1:${inner},${fingerprint(factor)}`,
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

/** A name of numbers, for keys: cyrb53 of their bits. */
function fingerprint(numbers: Float64Array): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const word of new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2)) {
    a = Math.imul(a ^ word, 2654435761);
    b = Math.imul(b ^ word, 1597334677);
  }
  return `${(a >>> 0).toString(16)}${(b >>> 0).toString(16)}`;
}

/** Folds BatchNormalization into the convolution before it, where no one else reads the convolution's result. */
export const fuseBatchNorm = definePass({
  name: "fuse-batch-norm",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    rewrite(model, [convBatchNorm], { signal: ctx.signal, onRewrite: (_rule, node, view) => ctx.done({ view, node }) }),
});
