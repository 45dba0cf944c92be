import { isFloat } from "@pare/core";
import { type Context, type Lowerings, last, refuse } from "./context.ts";
import { minus, mul, plus, widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

const float = ["float32"] as const;
const inverseRoot = (c: Context, x: Val, epsilon: number) => c.unary("RSQRT", plus(c, x, epsilon));
/** A value of each channel, against [N, C, …]. */
const perChannel = (c: Context, v: Val, rank: number) =>
  c.reshape(widened(c, v, float), rank < 2 ? v.shape : [v.shape[0]!, ...Array(rank - 2).fill(1)]);

function batchNormalization(c: Context) {
  const x = widened(c, c.in(0), float);
  if (c.int("training_mode", 0) === 1) return trainedBatch(c, x);
  const rank = x.shape.length;
  const epsilon = c.float("epsilon", 1e-5);
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => c.in(i)) as [Val, Val, Val, Val];
  const [s, b, m, v] = [scale, bias, mean, variance].map((value) => c.numbers(value));
  if (s && b && m && v) {
    const factor = s.map((value, i) => value / Math.sqrt(v[i]! + epsilon));
    const shift = b.map((value, i) => value - m[i]! * factor[i]!);
    const of = (list: number[]) => perChannel(c, c.full("float32", [list.length], list), rank);
    return c.give(0, c.cast(plus(c, mul(c, x, of(factor)), of(shift)), c.in(0).dtype));
  }
  const factor = mul(c, widened(c, scale, float), inverseRoot(c, widened(c, variance, float), epsilon));
  const centred = minus(c, x, perChannel(c, mean, rank));
  const scaled = plus(c, mul(c, centred, perChannel(c, factor, rank)), perChannel(c, bias, rank));
  c.give(0, c.cast(scaled, c.in(0).dtype));
}

function trainedBatch(c: Context, x: Val) {
  const rank = x.shape.length;
  const axes = x.shape.map((_, i) => i).filter((i) => i !== 1);
  const mean = c.reduce("MEAN", x, axes, true);
  const centred = minus(c, x, mean);
  const variance = c.reduce("MEAN", mul(c, centred, centred), axes, true);
  const normal = mul(c, centred, inverseRoot(c, variance, c.float("epsilon", 1e-5)));
  c.give(0, plus(c, mul(c, normal, perChannel(c, c.in(1), rank)), perChannel(c, c.in(2), rank)));
  const momentum = c.float("momentum", 0.9);
  const running = (i: number, now: Val) =>
    plus(c, mul(c, c.in(i), momentum), mul(c, c.reshape(now, [x.shape[1]!]), 1 - momentum));
  if (c.wants(1)) c.give(1, running(3, mean));
  if (c.wants(2)) c.give(2, running(4, variance));
}

/** (x - mean) / sqrt(variance + epsilon) over some dimensions. */
function normalized(c: Context, x: Val, axes: readonly number[], epsilon: number) {
  const mean = c.reduce("MEAN", x, axes, true);
  const centred = minus(c, x, mean);
  const inverse = inverseRoot(c, c.reduce("MEAN", mul(c, centred, centred), axes, true), epsilon);
  return { value: mul(c, centred, inverse), mean, inverse };
}

function layerNormalization(c: Context) {
  const x = widened(c, c.in(0), float);
  const axis = c.int("axis", -1);
  const axes = x.shape.map((_, i) => i).slice(axis < 0 ? axis + x.shape.length : axis);
  const { value, mean, inverse } = normalized(c, x, axes, c.float("epsilon", 1e-5));
  const scaled = mul(c, value, widened(c, c.in(1), float));
  const bias = c.maybe(2);
  c.give(0, c.cast(bias ? plus(c, scaled, widened(c, bias, float)) : scaled, c.in(0).dtype));
  if (c.wants(1)) c.give(1, mean);
  if (c.wants(2)) c.give(2, inverse);
}

function lrn(c: Context) {
  const x = widened(c, c.in(0), float);
  const size = c.int("size", 1);
  if (x.shape.length !== 4) refuse("its input has no two spatial dimensions");
  if (size % 2 === 0) refuse("its size is even, and LiteRT normalizes over as many channels on either side");
  const options = {
    radius: (size - 1) / 2,
    alpha: c.float("alpha", 1e-4) / size,
    beta: c.float("beta", 0.75),
    bias: c.float("bias", 1),
  };
  const result = { shape: x.shape, dtype: "float32", order: "last" } as const;
  c.give(0, c.cast(c.add("LOCAL_RESPONSE_NORMALIZATION", [last(x)], result, options), c.in(0).dtype));
}

/** Scales and zero points against what they belong to, as float32. */
function alongAxis(c: Context, v: Val, x: Val): Val {
  const wide = isFloat(v.dtype) ? widened(c, v, float) : c.cast(v, "float32");
  if (v.shape.length === 0 || (v.shape.length === 1 && v.shape[0] === 1)) return c.reshape(wide, []);
  const axis = c.int("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  return c.reshape(
    wide,
    x.shape.map((_, i) => (i === at ? v.shape[0]! : 1)),
  );
}

const ranges: Readonly<Record<string, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};

const within = (c: Context, v: Val, low: number, high: number) =>
  c.binary("MINIMUM", c.binary("MAXIMUM", v, c.scalar(low, v)), c.scalar(high, v));

function quantizeLinear(c: Context) {
  const x = widened(c, c.in(0), ["float32", "int32"]);
  const dtype = c.maybe(2)?.dtype ?? "uint8";
  const [low, high] = ranges[dtype] ?? refuse(`LiteRT does not know codes of ${dtype}`);
  if (c.int("block_size", 0) > 0) refuse("blocks of it have scales of their own");
  const [scale, start] = [1, 2].map((i) => c.maybe(i) && alongAxis(c, c.in(i), x));
  const codes = c.unary("ROUND", c.binary("DIV", c.cast(x, "float32"), scale!));
  c.give(0, c.cast(c.cast(within(c, start ? plus(c, codes, start) : codes, low, high), "int32"), dtype));
}

function dequantizeLinear(c: Context) {
  const x = c.in(0);
  if (c.int("block_size", 0) > 0) refuse("blocks of it have scales of their own");
  const [scale, start] = [1, 2].map((i) => c.maybe(i) && alongAxis(c, c.in(i), x));
  const codes = c.cast(x, "float32");
  c.give(0, c.cast(mul(c, start ? minus(c, codes, start) : codes, scale!), c.in(1).dtype));
}

function dynamicQuantize(c: Context) {
  const x = c.in(0);
  const all = x.shape.map((_, i) => i);
  const zero = c.scalar(0, "float32");
  const top = c.binary("MAXIMUM", c.reduce("REDUCE_MAX", x, all, false), zero);
  const bottom = c.binary("MINIMUM", c.reduce("REDUCE_MIN", x, all, false), zero);
  const span = c.binary("DIV", minus(c, top, bottom), c.scalar(255, "float32"));
  const scale = c.select(c.binary("EQUAL", span, zero, "bool"), c.scalar(1, "float32"), span);
  const start = c.unary("ROUND", within(c, c.binary("DIV", c.unary("NEG", bottom), scale), 0, 255));
  const byte = (v: Val) => c.cast(c.cast(v, "int32"), "uint8");
  c.give(0, byte(within(c, plus(c, c.unary("ROUND", c.binary("DIV", x, scale)), start), 0, 255)));
  c.give(1, span);
  c.give(2, byte(start));
}

export const normalizations: Lowerings = {
  BatchNormalization: batchNormalization,
  InstanceNormalization: (c) => {
    const x = widened(c, c.in(0), float);
    const rank = x.shape.length;
    const { value } = normalized(c, x, x.shape.map((_, i) => i).slice(2), c.float("epsilon", 1e-5));
    const scaled = plus(c, mul(c, value, perChannel(c, c.in(1), rank)), perChannel(c, c.in(2), rank));
    c.give(0, c.cast(scaled, c.in(0).dtype));
  },
  LayerNormalization: layerNormalization,
  LRN: lrn,
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantize,
};
