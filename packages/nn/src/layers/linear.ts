import { attr } from "@pare/core";
import { glorotUniform, heNormal, type Initializer, zeros } from "../initialize.ts";
import { ints, type Layer, named, type Scope, type Signal } from "../layer.ts";
import { type Padding, type Pair, pair, windowOf } from "./window.ts";

export interface Conv2dOptions {
  readonly stride?: Pair;
  /** Default `same`: as large as the input over the stride, with more padding behind where it is odd. */
  readonly padding?: Padding;
  readonly dilation?: Pair;
  readonly groups?: number;
  /** Default true. Leave it out before a normalization. */
  readonly bias?: boolean;
  /** Default {@link heNormal}. */
  readonly init?: Initializer;
}

/** A convolution over `[channels, height, width]`; the weight is `[filters, channels / groups, height, width]`. */
export const conv2d = (filters: number, kernel: Pair, options: Conv2dOptions = {}): Layer =>
  named("conv2d", (scope, x) => convolved(scope, x, filters, kernel, options));

/** A convolution of each channel by itself, `multiplier` filters for each. */
export const depthwiseConv2d = (
  kernel: Pair,
  { multiplier = 1, ...options }: Omit<Conv2dOptions, "groups"> & { readonly multiplier?: number } = {},
): Layer =>
  named("depthwise", (scope, x) => {
    const [channels] = imageOf(scope, x);
    return convolved(scope, x, channels * multiplier, kernel, { ...options, groups: channels });
  });

function convolved(scope: Scope, x: Signal, filters: number, kernel: Pair, options: Conv2dOptions): Signal {
  const { stride = 1, padding = "same", dilation = 1, groups = 1, bias = true, init = heNormal } = options;
  const [channels, ...sizes] = imageOf(scope, x);
  if (channels % groups !== 0 || filters % groups !== 0)
    scope.refuse(`cannot divide ${channels} channels and ${filters} filters into ${groups} groups`);
  const { pads, out } = windowOf(scope, sizes, { kernel, stride, padding, dilation });
  const shape = [filters, channels / groups, ...pair(kernel)];
  const area = shape[2]! * shape[3]!;
  const fan = { in: shape[1]! * area, out: (filters / groups) * area };
  const inputs = [x.name, scope.weight("weight", shape, init, fan)];
  if (bias) inputs.push(scope.weight("bias", [filters], zeros));
  const name = scope.op("Conv", inputs, {
    kernel_shape: ints(pair(kernel)),
    strides: ints(pair(stride)),
    pads: ints(pads),
    dilations: ints(pair(dilation)),
    group: attr.int(groups),
  });
  return { name, shape: [filters, ...out] };
}

const imageOf = (scope: Scope, { shape }: Signal): readonly [number, number, number] =>
  shape.length === 3
    ? (shape as readonly [number, number, number])
    : scope.refuse(`takes [channels, height, width], and is given [${shape}]`);

export interface DenseOptions {
  readonly bias?: boolean;
  /** Default {@link glorotUniform}. */
  readonly init?: Initializer;
}

/**
 * A product with a matrix over the last dimension: `[features]`, whose weight is `[units, features]`, or `[tokens, features]`,
 * whose weight is `[features, units]`, as ONNX exporters write them.
 */
export const dense = (units: number, { bias = true, init = glorotUniform }: DenseOptions = {}): Layer =>
  named("dense", (scope, x) => {
    if (x.shape.length < 1 || x.shape.length > 2)
      scope.refuse(`takes [features] or [tokens, features], and is given [${x.shape}]: flatten it before`);
    const features = x.shape.at(-1)!;
    const fan = { in: features, out: units };
    const shift = () => (bias ? [scope.weight("bias", [units], zeros)] : []);
    if (x.shape.length === 1) {
      const inputs = [x.name, scope.weight("weight", [units, features], init, fan), ...shift()];
      return { name: scope.op("Gemm", inputs, { transB: attr.int(1) }), shape: [units] };
    }
    const product = scope.op("MatMul", [x.name, scope.weight("weight", [features, units], init, fan)]);
    const shape = [x.shape[0]!, units];
    return { name: bias ? scope.op("Add", [product, ...shift()]) : product, shape };
  });
