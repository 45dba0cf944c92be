import { attr, tensor } from "@pare/core";
import type { Builder } from "../lower/builder.ts";
import { isSizes } from "./builder.ts";
import { geometryOf } from "./window.ts";

/** Most places of the input times places of the output for which matrices are faster than windows on ONNX Runtime. */
const LIMIT = 40_000;

/**
 * A depthwise convolution of small images as a product of matrices for each channel, [N, input] by [input, output]: engines take
 * several times as long for it and most of all for its gradients, which are products of the same matrices.
 * Gives false, and adds nothing, where it is none or its images are large.
 */
export function depthwiseAsMatrices(b: Builder): boolean {
  const [x, w, bias] = [b.input(0)!, b.input(1)!, b.input(2)];
  const [from, weights, to] = [b.shape(x), b.shape(w), b.shape(b.node.outputs[0]!)];
  const channels = b.intOf("group", 1);
  if (!isSizes(weights) || weights[0] !== channels || weights[1] !== 1 || channels < 2) return false;
  const [input, output] = [from?.slice(2), to?.slice(2)];
  if (!isSizes(input) || !isSizes(output)) return false;
  const [size, places] = [product(input), product(output)];
  const kernel = weights.slice(2);
  if (product(kernel) === 1 || size * places > LIMIT) return false;

  const { pads, strides, dilations } = geometryOf(b, x, b.node.outputs[0]!, kernel);
  const count = product(kernel);
  const chosen = new Float32Array(count * size * places);
  const rank = kernel.length;
  for (let k = 0; k < count; k++)
    for (let to = 0; to < places; to++) {
      const [offset, place] = [indexIn(kernel, k), indexIn(output, to)];
      const at = place.map((o, i) => o * strides[i]! - pads[i]! + offset[i]! * dilations[i]!);
      if (at.some((v, i) => v < 0 || v >= input[i]!)) continue;
      const flat = at.reduce((n, v, i) => n * input[i]! + v, 0);
      chosen[(k * size + flat) * places + to] = 1;
    }
  const dtype = b.dtype(x);
  const select = b.cast(b.constant(tensor("float32", [count, size * places], chosen)), dtype);
  const reshape = (v: string, shape: readonly number[]) => b.add("Reshape", [v, b.ints(shape)]);
  const matrices = reshape(b.add("MatMul", [reshape(w, [channels, count]), select]), [channels, size, places]);
  const swap = { perm: attr.ints([1, 0, 2]) };
  const rows = b.add("Transpose", [reshape(x, [-1, channels, size])], swap);
  const turned = b.add("Transpose", [b.add("MatMul", [rows, matrices])], swap);
  const images = reshape(turned, [-1, channels, ...output]);
  if (bias === undefined) b.give("Identity", [images]);
  else b.give("Add", [images, reshape(bias, [channels, ...Array<number>(rank).fill(1)])]);
  return true;
}

const product = (sizes: readonly number[]) => sizes.reduce((n, s) => n * s, 1);

/** The index of an element by its number in row-major order. */
function indexIn(shape: readonly number[], flat: number): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let i = shape.length - 1; i >= 0; i--) {
    index[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
  }
  return index;
}
