import type { Builder } from "../lower/builder.ts";
import { isSizes } from "./builder.ts";

/** How a window moves over an input: all lists have one number for each spatial axis, `pads` the beginnings, then the ends. */
export interface Geometry {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  /** Spatial sizes of what the window moves over and of what comes of it, where they are known. */
  readonly input: readonly number[] | undefined;
  readonly output: readonly number[] | undefined;
}

/** The window of a node that moves from `over` to `to`; padding that the node leaves to the sizes is made numbers. */
export function geometryOf(b: Builder, over: string, to: string, kernel: readonly number[]): Geometry {
  const rank = kernel.length;
  const ones = Array<number>(rank).fill(1);
  const [strides, dilations] = [b.intsOf("strides") ?? ones, b.intsOf("dilations") ?? ones];
  const spatial = (v: string) => {
    const dims = b.shape(v)?.slice(2);
    return isSizes(dims) ? dims : undefined;
  };
  const [input, output] = [spatial(over), spatial(to)];
  const auto = b.textOf("auto_pad", "NOTSET");
  const transposed = b.node.op === "ConvTranspose";
  const given =
    transposed && b.intsOf("output_shape") ? undefined : (b.intsOf("pads") ?? Array<number>(2 * rank).fill(0));
  if (auto === "VALID") return { kernel, strides, dilations, pads: Array<number>(2 * rank).fill(0), input, output };
  if (auto === "NOTSET" && given) return { kernel, strides, dilations, pads: given, input, output };
  if (!input || !output)
    return b.refuse("it pads by the size of its input, which is not known: fix the dimensions of the inputs");
  const more = transposed ? (b.intsOf("output_padding") ?? Array<number>(rank).fill(0)) : Array<number>(rank).fill(0);
  const total = kernel.map((k, i) =>
    Math.max(0, (output[i]! - 1) * strides[i]! + (k - 1) * dilations[i]! + 1 + more[i]! - input[i]!),
  );
  // The odd one is at the end for SAME_UPPER only.
  const upper = auto === "SAME_UPPER";
  const small = total.map((t) => Math.floor(t / 2));
  const large = total.map((t, i) => t - small[i]!);
  return { kernel, strides, dilations, pads: upper ? [...small, ...large] : [...large, ...small], input, output };
}
