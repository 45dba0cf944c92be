import { attribute, type Dim } from "@pare/core";
import { productOf } from "./dims.ts";
import {
  axesOf,
  axisAt,
  axisOf,
  type Call,
  int,
  isGiven,
  numbersAt,
  replaced,
  type Shape,
  type ShapeRule,
  type ShapeRules,
  shapeAt,
  unknown,
  valuesAt,
} from "./rule.ts";

function without(shape: readonly Dim[], axes: readonly number[], keep: boolean): Dim[] {
  return keep ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i));
}

/** Axes that a reduction works on; undefined where they are not known. */
export function reducedAxes(c: Call, rank: number): readonly number[] | undefined {
  const axes = isGiven(c, 1) ? numbersAt(c, 1) : [];
  if (axes?.length !== 0) return axes && axesOf(axes, rank);
  return int(c, "noop_with_empty_axes", 0) ? [] : Array.from({ length: rank }, (_, i) => i);
}

const reduction: ShapeRule = (c) => {
  const shape = shapeAt(c, 0);
  const keep = int(c, "keepdims", 1) !== 0;
  const axes = shape && reducedAxes(c, shape.length);
  if (shape && axes) return [without(shape, axes, keep)];
  if (keep) return [unknown(shape?.length)];
  const count = shapeAt(c, 1)?.[0];
  if (shape && typeof count === "number" && count > 0) return [unknown(shape.length - count)];
  const all = !isGiven(c, 1) && int(c, "noop_with_empty_axes", 0) === 0;
  return [all ? [] : undefined];
};

const arg: ShapeRule = (c) => {
  const shape = shapeAt(c, 0);
  const axis = axisAt(c, shape);
  return [axis === undefined ? undefined : without(shape!, [axis], int(c, "keepdims", 1) !== 0)];
};

const loss: ShapeRule = (c) => {
  const scores = shapeAt(c, 0);
  const none = String(attribute(c.node, "reduction", "string") ?? "mean") === "none";
  const each: Shape = shapeAt(c, 1) ?? (scores && [scores[0] ?? null, ...scores.slice(2)]);
  return [none ? each : [], scores];
};

/** Reductions, arguments of extremes, losses. */
export const reductions: ShapeRules = {
  ...Object.fromEntries(
    ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"].map((n) => [
      `Reduce${n}`,
      reduction,
    ]),
  ),
  ArgMax: arg,
  ArgMin: arg,
  NegativeLogLikelihoodLoss: loss,
  SoftmaxCrossEntropyLoss: loss,
  TopK(c) {
    const shape = shapeAt(c, 0);
    const axis = axisAt(c, shape, -1);
    if (axis === undefined) return [];
    const out = replaced(shape!, [axis, valuesAt(c, 1)?.[0] ?? null]);
    return [out, out];
  },
  Multinomial: (c) => [[shapeAt(c, 0)?.[0] ?? null, int(c, "sample_size", 1)]],
  Unique(c) {
    const shape = shapeAt(c, 0);
    const axis = attribute(c.node, "axis", "int");
    const at = shape && axis !== undefined ? axisOf(Number(axis), shape.length) : undefined;
    const values = axis === undefined ? [null] : at === undefined ? undefined : replaced(shape!, [at, null]);
    const length = axis === undefined ? shape && productOf(shape) : shape?.[at ?? -1];
    return [values, [null], [length ?? null], [null]];
  },
};
