import type { BuiltinOperator } from "../format/options.ts";
import { axisOf, type Context, type Lowering, type Lowerings, last, refuse } from "./context.ts";
import { minus, mul, widened } from "./elementwise.ts";
import { type Arg, hasOrders, type Val } from "./program.ts";

/** The dimensions that a reduction goes over; none where it does nothing. */
function axesOf(c: Context): readonly number[] {
  const rank = c.in(0).shape.length;
  const given = c.maybe(1) ? c.constants(1, "axes") : [];
  if (given.length > 0) return given.map((a) => axisOf(a, rank));
  return c.int("noop_with_empty_axes", 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

type Types = readonly ("float32" | "int32" | "int64")[];
type Part = (c: Context, x: Val) => Val;

const same: Part = (_, x) => x;

const reduction =
  (code: BuiltinOperator, before = same, after = same, types: Types = ["float32", "int32", "int64"]): Lowering =>
  (c) => {
    const x = c.in(0);
    const v = before(c, widened(c, x, types));
    const reduced = c.reduce(code, v, axesOf(c), c.int("keepdims", 1) === 1);
    c.give(0, c.cast(after(c, reduced), x.dtype));
  };

const square: Part = (c, x) => mul(c, x, x);
const size: Part = (c, x) =>
  x.dtype === "float32" ? c.unary("ABS", x) : c.binary("MAXIMUM", x, c.binary("SUB", c.scalar(0, x), x));
const log: Part = (c, x) => c.unary("LOG", x);
const root: Part = (c, x) => c.unary("SQRT", x);

const extreme =
  (code: "REDUCE_MAX" | "REDUCE_MIN"): Lowering =>
  (c) => {
    const x = c.in(0);
    if (x.dtype !== "bool") return reduction(code)(c);
    c.give(0, c.reduce(code === "REDUCE_MAX" ? "REDUCE_ANY" : "REDUCE_ALL", x, axesOf(c), c.int("keepdims", 1) === 1));
  };

/** m + log(sum(exp(x - m))), with the largest m of each sum. */
const logSumExp: Lowering = (c) => {
  const x = widened(c, c.in(0), ["float32"]);
  const axes = axesOf(c);
  if (axes.length === 0) return c.give(0, c.in(0));
  const top = c.reduce("REDUCE_MAX", x, axes, true);
  const bounded = c.binary("MAXIMUM", c.binary("MINIMUM", top, c.scalar(3e38, x)), c.scalar(-3e38, x));
  const sum = c.reduce("SUM", c.unary("EXP", minus(c, x, bounded)), axes, true);
  const result = c.binary("ADD", c.unary("LOG", sum), bounded);
  const shape = x.shape.filter((_, i) => !axes.includes(i));
  c.give(0, c.cast(c.int("keepdims", 1) === 1 ? result : c.reshape(result, shape), c.in(0).dtype));
};

const arg =
  (code: "ARG_MAX" | "ARG_MIN"): Lowering =>
  (c) => {
    const x = widened(c, c.in(0), ["float32", "int32"]);
    const axis = axisOf(c.int("axis", 0), x.shape.length);
    const takesLast = c.int("select_last_index", 0) === 1;
    const shape = x.shape.filter((_, i) => i !== axis);
    const at = c.full("int32", [], [axis]);
    const v = takesLast ? c.reverse(x, axis) : x;
    const found = c.add(code, [v, at], { shape, dtype: "int32" }, { output_type: "INT32" });
    const index = takesLast ? c.binary("SUB", c.scalar(x.shape[axis]! - 1, "int32"), found) : found;
    const kept =
      c.int("keepdims", 1) === 1
        ? c.reshape(
            index,
            x.shape.map((d, i) => (i === axis ? 1 : d)),
          )
        : index;
    c.give(0, c.cast(kept, "int64"));
  };

/** An operator of TFLite's that works along the last dimension, in whichever order that costs least. */
export function alongLast(c: Context, x: Val, axis: number, make: (v: Arg) => Val): Val {
  const rank = x.shape.length;
  if (axis === rank - 1) return make({ value: x, order: "source" });
  if (axis === 1 && hasOrders(x)) return make(last(x));
  const perm = x.shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  return c.transpose(make({ value: c.transpose(x, perm), order: "source" }), perm);
}

const soft =
  (code: "SOFTMAX" | "LOG_SOFTMAX"): Lowering =>
  (c) => {
    const x = widened(c, c.in(0), ["float32"]);
    if (x.shape.length === 0) refuse("its input has no dimensions");
    const axis = axisOf(c.int("axis", -1), x.shape.length);
    const options = code === "SOFTMAX" ? { beta: 1 } : {};
    const result = alongLast(c, x, axis, (v) =>
      c.add(code, [v], { shape: v.value.shape, dtype: "float32", order: v.order! }, options),
    );
    c.give(0, c.cast(result, c.in(0).dtype));
  };

const hardmax: Lowering = (c) => {
  const x = widened(c, c.in(0), ["float32"]);
  const axis = axisOf(c.int("axis", -1), x.shape.length);
  const shape = x.shape.map((d, i) => (i === axis ? 1 : d));
  const at = c.full("int32", [], [axis]);
  const result = { shape: x.shape.filter((_, i) => i !== axis), dtype: "int32" } as const;
  const found = c.add("ARG_MAX", [x, at], result, { output_type: "INT32" });
  const places = x.shape.map((d, i) => (i === axis ? d : 1));
  const numbers = Array.from({ length: x.shape[axis]! }, (_, i) => i);
  const is = c.binary("EQUAL", c.reshape(found, shape), c.full("int32", places, numbers), "bool");
  c.give(0, c.cast(is, c.in(0).dtype));
};

function topK(c: Context) {
  const x = c.in(0);
  const [k] = c.constants(1, "k") as [number];
  const rank = x.shape.length;
  const axis = axisOf(c.int("axis", -1), rank);
  const largest = c.int("largest", 1) === 1;
  const v = widened(c, x, ["float32", "int32", "int64"]);
  const perm = x.shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  const sorted = c.transpose(largest ? v : c.binary("SUB", c.scalar(0, v), v), perm);
  const shape = [...sorted.shape.slice(0, -1), k];
  const results = [
    { shape, dtype: v.dtype },
    { shape, dtype: "int32" as const },
  ];
  const [values, indices] = c.addMany("TOPK_V2", [sorted, c.full("int32", [], [k])], results) as [Val, Val];
  const back = c.transpose(values, perm);
  c.give(0, c.cast(largest ? back : c.binary("SUB", c.scalar(0, v), back), x.dtype));
  c.give(1, c.cast(c.transpose(indices, perm), "int64"));
}

export const reductions: Lowerings = {
  ReduceSum: reduction("SUM"),
  ReduceMean: (c) => {
    if (!c.in(0).dtype.startsWith("float")) refuse(`the mean of ${c.in(0).dtype} is rounded differently`);
    reduction("MEAN", same, same, ["float32"])(c);
  },
  ReduceMax: extreme("REDUCE_MAX"),
  ReduceMin: extreme("REDUCE_MIN"),
  ReduceProd: reduction("REDUCE_PROD"),
  ReduceL1: reduction("SUM", size),
  ReduceL2: reduction("SUM", square, root, ["float32"]),
  ReduceSumSquare: reduction("SUM", square),
  ReduceLogSum: reduction("SUM", same, log, ["float32"]),
  ReduceLogSumExp: logSumExp,
  ArgMax: arg("ARG_MAX"),
  ArgMin: arg("ARG_MIN"),
  Softmax: soft("SOFTMAX"),
  LogSoftmax: soft("LOG_SOFTMAX"),
  Hardmax: hardmax,
  TopK: topK,
  GlobalAveragePool: (c) => {
    const x = widened(c, c.in(0), ["float32"]);
    c.give(0, c.cast(c.reduce("MEAN", x, x.shape.map((_, i) => i).slice(2), true), c.in(0).dtype));
  },
  GlobalMaxPool: (c) =>
    c.give(
      0,
      c.reduce(
        "REDUCE_MAX",
        c.in(0),
        c
          .in(0)
          .shape.map((_, i) => i)
          .slice(2),
        true,
      ),
    ),
  GlobalLpPool: (c) => {
    const x = c.in(0);
    const p = c.int("p", 2);
    const power = c.binary("POW", c.unary("ABS", x), c.scalar(p, x));
    const sum = c.reduce("SUM", power, x.shape.map((_, i) => i).slice(2), true);
    c.give(0, c.binary("POW", sum, c.scalar(1 / p, x)));
  },
  LpNormalization: (c) => {
    const x = widened(c, c.in(0), ["float32"]);
    const axis = axisOf(c.int("axis", -1), x.shape.length);
    const isFirst = c.int("p", 2) === 1;
    const sum = c.reduce("SUM", isFirst ? c.unary("ABS", x) : square(c, x), [axis], true);
    const norm = isFirst ? sum : root(c, sum);
    // Where all are 0, the result is 0.
    const divisor = c.select(c.binary("EQUAL", norm, c.scalar(0, norm), "bool"), c.scalar(1, norm), norm);
    c.give(0, c.cast(c.binary("DIV", x, divisor), c.in(0).dtype));
  },
  MeanVarianceNormalization: (c) => {
    const x = widened(c, c.in(0), ["float32"]);
    const axes = (c.intList("axes") ?? [0, 2, 3]).map((a) => axisOf(a, x.shape.length));
    const centred = minus(c, x, c.reduce("MEAN", x, axes, true));
    const deviation = root(c, c.reduce("MEAN", square(c, centred), axes, true));
    c.give(0, c.cast(c.binary("DIV", centred, c.binary("ADD", deviation, c.scalar(1e-9, x))), c.in(0).dtype));
  },
};
