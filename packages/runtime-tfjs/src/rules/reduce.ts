import type { Tensor, Tf } from "../engine.ts";
import { alongLast } from "./axes.ts";
import { all, type Call, floats, input, int, numbers, numbersIn, type Rule, type Rules, wholeAxis } from "./call.ts";

/** The axes that a reduction takes away: given, or all. */
function axesOf(c: Call, rank: number): number[] {
  const given = numbers(c, 1) ?? [];
  if (given.length > 0) return given.map((axis) => wholeAxis(axis, rank));
  return int(c, "noop_with_empty_axes", 0) === 1 ? [] : Array.from({ length: rank }, (_, i) => i);
}

type Reduce = (tf: Tf, x: Tensor, axes: number[], keep: boolean) => Tensor;

/** `of` is computed first, `then` after; a reduction of no axes is these two alone. */
const reduction =
  (reduce: Reduce, of = (_tf: Tf, x: Tensor) => x, then = (_tf: Tf, x: Tensor) => x) =>
  (c: Call): Tensor => {
    const x = of(c.tf, input(c, 0));
    const axes = axesOf(c, x.rank);
    return then(c.tf, axes.length === 0 ? x : reduce(c.tf, x, axes, int(c, "keepdims", 1) === 1));
  };

const sum: Reduce = (tf, x, axes, keep) => tf.sum(x, axes, keep);
const square = (tf: Tf, x: Tensor) => tf.square(x);

/** A reduction that chooses: also of truth values, as 0 and 1. */
const choosing = (reduce: Reduce): Rule =>
  all(
    reduction((tf, x, axes, keep) =>
      x.dtype === "bool" ? tf.cast(reduce(tf, tf.cast(x, "int32"), axes, keep), "bool") : reduce(tf, x, axes, keep),
    ),
    1,
  );

function logSumExp(tf: Tf, x: Tensor, axes: number[], keep: boolean): Tensor {
  return tf.logSumExp(x, axes, keep);
}

const place =
  (sign: 1 | -1) =>
  (c: Call): Tensor => {
    const { tf } = c;
    const x = sign === 1 ? input(c, 0) : tf.neg(input(c, 0));
    const axis = wholeAxis(int(c, "axis", 0), x.rank);
    const last = int(c, "select_last_index", 0) === 1;
    const found = tf.argMax(last ? tf.reverse(x, axis) : x, axis);
    const at = last ? tf.sub(tf.scalar(x.shape[axis]! - 1, "int32"), found) : found;
    return int(c, "keepdims", 1) === 1 ? tf.expandDims(at, axis) : at;
  };

const softmax = (f: (tf: Tf, x: Tensor) => Tensor): Rule =>
  floats((c) => {
    const x = input(c, 0);
    return alongLast(c.tf, x, wholeAxis(int(c, "axis", -1), x.rank), (y) => f(c.tf, y));
  });

const running = (f: (tf: Tf, x: Tensor, axis: number, exclusive: boolean, reverse: boolean) => Tensor): Rule =>
  floats((c) => {
    const x = input(c, 0);
    const [axis] = numbersIn(c, 1) as [number];
    return f(c.tf, x, wholeAxis(axis, x.rank), int(c, "exclusive", 0) === 1, int(c, "reverse", 0) === 1);
  }, 1);

function topK(c: Call): Tensor[] {
  const { tf } = c;
  const x = input(c, 0);
  const [k] = numbersIn(c, 1) as [number];
  const axis = wholeAxis(int(c, "axis", -1), x.rank);
  const sign = int(c, "largest", 1) === 1 ? 1 : -1;
  let places: Tensor | undefined;
  const values = alongLast(tf, x, axis, (y) => {
    const found = tf.topk(sign === 1 ? y : tf.neg(y), k, true);
    places = found.indices;
    return sign === 1 ? found.values : tf.neg(found.values);
  });
  return [values, alongLast(tf, x, axis, () => places!)];
}

export const reductions: Rules = {
  ArgMax: floats(place(1)),
  ArgMin: floats(place(-1)),
  CumProd: running((tf, x, axis, exclusive, reverse) => tf.cumprod(x, axis, exclusive, reverse)),
  CumSum: running((tf, x, axis, exclusive, reverse) => tf.cumsum(x, axis, exclusive, reverse)),
  Hardmax: softmax((tf, x) => tf.cast(tf.oneHot(tf.argMax(x, -1) as never, x.shape.at(-1)!), "float32")),
  LogSoftmax: softmax((tf, x) => tf.logSoftmax(x)),
  ReduceL1: floats(
    reduction(sum, (tf, x) => tf.abs(x)),
    1,
  ),
  ReduceL2: floats(
    reduction(sum, square, (tf, x) => tf.sqrt(x)),
    1,
  ),
  ReduceLogSum: floats(
    reduction(sum, undefined, (tf, x) => tf.log(x)),
    1,
  ),
  ReduceLogSumExp: floats(reduction(logSumExp), 1),
  ReduceMax: choosing((tf, x, axes, keep) => tf.max(x, axes, keep)),
  ReduceMean: floats(
    reduction((tf, x, axes, keep) => tf.mean(x, axes, keep)),
    1,
  ),
  ReduceMin: choosing((tf, x, axes, keep) => tf.min(x, axes, keep)),
  ReduceProd: floats(
    reduction((tf, x, axes, keep) => tf.prod(x, axes, keep)),
    1,
  ),
  ReduceSum: floats(reduction(sum), 1),
  ReduceSumSquare: floats(reduction(sum, square), 1),
  Softmax: softmax((tf, x) => tf.softmax(x)),
  TopK: floats(topK, 1),
};
