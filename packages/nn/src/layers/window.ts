import { attr } from "@pare/core";
import { ints, type Layer, named, type Scope } from "../layer.ts";

/** The same number for height and width, or one for each. */
export type Pair = number | readonly [number, number];

/** `same`, `valid` (none), or how many on every side. */
export type Padding = "same" | "valid" | number;

export const pair = (p: Pair): readonly [number, number] => (typeof p === "number" ? [p, p] : p);

interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Padding;
  readonly dilation?: Pair;
}

/** Padding before and behind each dimension, as ONNX lists them, and the sizes of what comes out. */
export function windowOf(scope: Scope, sizes: readonly number[], w: Window) {
  const [kernel, stride, dilation] = [pair(w.kernel), pair(w.stride), pair(w.dilation ?? 1)];
  const sides = sizes.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilation[i]! + 1;
    const out = Math.ceil(size / stride[i]!);
    const total = w.padding === "same" ? Math.max(0, (out - 1) * stride[i]! + reach - size) : 0;
    const [before, after] =
      typeof w.padding === "number" ? [w.padding, w.padding] : [Math.floor(total / 2), Math.ceil(total / 2)];
    return { before, after, out: Math.floor((size + before + after - reach) / stride[i]!) + 1 };
  });
  if (sides.some((s) => s.out < 1))
    scope.refuse(`has a window of [${kernel}], which is larger than what it is given, [${sizes}]`);
  return { pads: [...sides.map((s) => s.before), ...sides.map((s) => s.after)], out: sides.map((s) => s.out) };
}

export interface PoolOptions {
  /** Default: the size of the window. */
  readonly stride?: Pair;
  /** Default `valid`. */
  readonly padding?: Padding;
}

const pool = (op: "MaxPool" | "AveragePool", size: Pair, { stride = size, padding = "valid" }: PoolOptions): Layer =>
  named(op === "MaxPool" ? "max_pool" : "average_pool", (scope, x) => {
    if (x.shape.length !== 3) scope.refuse(`takes [channels, height, width], and is given [${x.shape}]`);
    const { pads, out } = windowOf(scope, x.shape.slice(1), { kernel: size, stride, padding });
    const attributes = { kernel_shape: ints(pair(size)), strides: ints(pair(stride)), pads: ints(pads) };
    return { name: scope.op(op, [x.name], attributes), shape: [x.shape[0]!, ...out] };
  });

/** The largest of each window. */
export const maxPool = (size: Pair, options: PoolOptions = {}): Layer => pool("MaxPool", size, options);
/** The mean of each window; padding does not count. */
export const averagePool = (size: Pair, options: PoolOptions = {}): Layer => pool("AveragePool", size, options);

/** The mean of each channel: `[channels, height, width]` to `[channels]`. */
export const globalAveragePool = (): Layer =>
  named("global_average_pool", (scope, x) => {
    const pooled = scope.op("GlobalAveragePool", [x.name]);
    return { name: scope.op("Flatten", [pooled], { axis: attr.int(1) }), shape: [x.shape[0]!] };
  });
