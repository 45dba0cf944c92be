import { attr, type DType } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import type { Builder, Lower } from "./builder.ts";
import { reduce } from "./reduce.ts";

/** The element type in which a normalization computes. */
const stashType = (b: Builder): DType =>
  dtypeOf(b.intOf("stash_type", 1)) ?? b.refuse("its stash_type is no element type");

/** Axes from `axis` to the last, counted from the end where that needs no rank. */
function axesFrom(b: Builder, axis: number, x: string): number[] {
  const rank = b.rank(x);
  const first = axis < 0 ? axis : axis - rank;
  if (first >= 0 || first < -rank) b.refuse(`its input has no axis ${axis}`);
  return Array.from({ length: -first }, (_, i) => first + i);
}

/** Mean over axes, the distance from it, and the root of its mean square and epsilon. */
function spread(b: Builder, x: string, axes: readonly number[], epsilon: number) {
  const mean = reduce(b, "ReduceMean", x, axes);
  const distance = b.add("Sub", [x, mean]);
  const square = b.add("Pow", [distance, b.float(2, b.dtype(x))]);
  const variance = reduce(b, "ReduceMean", square, axes);
  const deviation = b.add("Sqrt", [b.add("Add", [variance, b.float(epsilon, b.dtype(x))])]);
  return { mean, distance, variance, deviation };
}

/** Nodes in the order in which engines know them as a layer normalization. */
export const layerNormalization: Lower = (b) => {
  const [x, scale, bias] = [b.input(0)!, b.input(1)!, b.input(2)];
  const { outputs } = b.node;
  const wide = b.cast(x, stashType(b));
  const s = spread(b, wide, axesFrom(b, b.intOf("axis", -1), x), b.floatOf("epsilon", 1e-5));
  const normal = b.cast(b.add("Div", [s.distance, s.deviation]), b.dtype(x));
  if (bias) b.give("Add", [b.add("Mul", [normal, scale]), bias]);
  else b.give("Mul", [normal, scale]);
  if (outputs[1]) b.add("Identity", [s.mean], {}, [outputs[1]]);
  if (outputs[2]) b.add("Reciprocal", [s.deviation], {}, [outputs[2]]);
};

export const rmsNormalization: Lower = (b) => {
  const [x, scale] = [b.input(0)!, b.input(1)!];
  const wide = b.cast(x, stashType(b));
  const axes = axesFrom(b, b.intOf("axis", -1), x);
  const square = reduce(b, "ReduceMean", b.add("Mul", [wide, wide]), axes);
  const root = b.add("Sqrt", [b.add("Add", [square, b.float(b.floatOf("epsilon", 1e-5), b.dtype(wide))])]);
  const normal = b.cast(b.add("Div", [wide, root]), b.dtype(x));
  b.give("Mul", [b.cast(normal, b.dtype(scale)), scale]);
};

/** Groups become one axis, [N, groups, the rest]; scale and bias belong to channels, [N, C, the rest]. */
export const groupNormalization: Lower = (b) => {
  const [x, scale, bias] = [b.input(0)!, b.input(1)!, b.input(2)!];
  const dtype = b.dtype(x);
  const wide = b.cast(x, stashType(b));
  const groups = b.add("Reshape", [wide, b.ints([0, b.intOf("num_groups", 1), -1])]);
  const s = spread(b, groups, [-1], b.floatOf("epsilon", 1e-5));
  const normal = b.cast(b.add("Div", [s.distance, s.deviation]), dtype);
  const byChannel = b.add("Concat", [b.dims(x, 0, 2), b.ints([-1])], { axis: attr.int(0) });
  const channels = b.add("Reshape", [normal, byChannel]);
  const each = (v: string) => b.add("Reshape", [v, b.ints([1, -1, 1])]);
  const scaled = b.add("Mul", [channels, each(scale)]);
  b.give("Reshape", [b.add("Add", [scaled, each(bias)]), b.dims(x, 0)]);
};

/** In training the statistics are those of the batch, and move those that are given. */
export const batchNormalization: Lower = (b) => {
  if (b.intOf("training_mode", 0) !== 1) return b.keep({ attributes: { training_mode: undefined } });
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => b.input(i)!) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const rank = b.rank(x);
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1);
  const s = spread(b, x, axes, b.floatOf("epsilon", 1e-5));
  const each = (v: string) =>
    b.add("Reshape", [b.cast(v, b.dtype(x)), b.ints([-1, ...Array(Math.max(0, rank - 2)).fill(1)])]);
  const normal = b.add("Div", [s.distance, s.deviation]);
  b.give("Add", [b.add("Mul", [normal, each(scale)]), each(bias)]);
  const momentum = b.floatOf("momentum", 0.9);
  const moved = (before: string, now: string, output: string | undefined) => {
    if (!output) return;
    const dtype = b.dtype(before);
    const kept = b.add("Mul", [before, b.float(momentum, dtype)]);
    const flat = b.cast(b.add("Reshape", [now, b.ints([-1])]), dtype);
    b.add("Add", [kept, b.add("Mul", [flat, b.float(1 - momentum, dtype)])], {}, [output]);
  };
  moved(mean, s.mean, b.node.outputs[1]);
  moved(variance, s.variance, b.node.outputs[2]);
};
