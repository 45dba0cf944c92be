import { integerRange } from "../numeric/convert.ts";
import {
  eachIndex,
  isWide,
  isWideData,
  type Nd,
  newData,
  numbersOf,
  reshaped,
  stridesOf,
  wholeAxis,
  wideOf,
} from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, ints } from "./rule.ts";

/** The elements that each element of a reduction is made of: `visit` gets their numbers, in order. */
function reduceWith(
  a: Nd,
  axes: readonly number[],
  keep: boolean,
  f: (values: number[]) => number,
  wide?: (values: bigint[]) => bigint,
): Nd {
  const reduced = new Set(axes);
  const shape = a.shape.map((d, axis) => (reduced.has(axis) ? 1 : d));
  const inner = a.shape.map((d, axis) => (reduced.has(axis) ? d : 1));
  const strides = stridesOf(a.shape);
  const offsets: number[] = [];
  eachIndex(inner, (index) => offsets.push(index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0)));
  const data = newData(a.dtype, shape);
  eachIndex(shape, (index, flat) => {
    const base = index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
    if (isWideData(data)) data[flat] = wide!(offsets.map((o) => a.data[base + o] as bigint));
    else data[flat] = f(offsets.map((o) => a.data[base + o] as number));
  });
  return { dtype: a.dtype, data, shape: keep ? shape : a.shape.filter((_, axis) => !reduced.has(axis)) };
}

/** Operators Reduce…: `axes` is an input; without it all axes are reduced, or none when the node says so. */
const reduction =
  (f: (values: number[]) => number, wide?: (values: bigint[]) => bigint): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const given = ints(call, 1);
    const none = !given || given.length === 0;
    if (none && int(call, "noop_with_empty_axes", 0) === 1) return [noAxes(x, f, wide)];
    const axes = none ? x.shape.map((_, axis) => axis) : given.map((axis) => wholeAxis(axis, x.shape.length));
    // In 64-bit integers a mean is cut and a norm goes through float64.
    const through = isWide(x.dtype) && !wide ? { ...x, data: numbersOf(x), dtype: "float64" as const } : x;
    const result = reduceWith(through, axes, int(call, "keepdims", 1) === 1, f, wide);
    return [
      through === x
        ? result
        : {
            ...result,
            dtype: x.dtype,
            data: wideOf(x.dtype, result.data as Float64Array),
          },
    ];
  };

/** The largest or smallest; of nothing it is the end of what the type holds. */
const extreme =
  (end: 0 | 1, f: (a: number, b: number) => number, wide: (a: bigint, b: bigint) => bigint): EvaluateRule =>
  (call) => {
    const { dtype } = input(call, 0);
    const [low, high] = dtype === "bool" ? [0n, 1n] : (integerRange(dtype) ?? []);
    const first = [low, high][end];
    const start = first === undefined ? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY][end]! : Number(first);
    return reduction(
      (v) => v.reduce((a, b) => f(a, b), start),
      (v) => v.reduce(wide, first!),
    )(call);
  };

/** Without axes every element is reduced alone. */
const noAxes = (x: Nd, f: (values: number[]) => number, wide?: (values: bigint[]) => bigint): Nd =>
  isWideData(x.data)
    ? {
        ...x,
        data: wide
          ? wideOf(
              x.dtype,
              Array.from(x.data, (v) => wide([v])),
            )
          : x.data,
      }
    : { ...x, data: x.data.map((v) => f([v])) };

const sum = (values: readonly number[]) => values.reduce((s, v) => s + v, 0);
const largest = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
const logSumExp = (values: readonly number[]) => {
  const top = largest(values);
  return Number.isFinite(top) ? top + Math.log(sum(values.map((v) => Math.exp(v - top)))) : top;
};

const arg =
  (better: (a: number, b: number) => boolean): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const axis = wholeAxis(int(call, "axis", 0), x.shape.length);
    const last = int(call, "select_last_index", 0) === 1;
    const result = reduceWith(
      { ...x, dtype: "float64", data: numbersOf(x) },
      [axis],
      int(call, "keepdims", 1) === 1,
      (values) => {
        let best = 0;
        values.forEach((v, i) => {
          if (better(v, values[best]!) || (last && v === values[best])) best = i;
        });
        return best;
      },
    );
    return [{ ...result, dtype: "int64", data: BigInt64Array.from(result.data as Float64Array, BigInt) }];
  };

/** Rows along `axis` of an array, each mapped to as many numbers. */
export function mapRows(x: Nd, axis: number, f: (row: Float64Array) => ArrayLike<number>): Nd {
  const length = x.shape[axis]!;
  const step = stridesOf(x.shape)[axis]!;
  const data = new Float64Array(x.data.length);
  const row = new Float64Array(length);
  for (let start = 0; start < data.length; start++) {
    if (Math.floor(start / step) % length !== 0) continue;
    for (let i = 0; i < length; i++) row[i] = Number(x.data[start + i * step]!);
    const mapped = f(row);
    for (let i = 0; i < length; i++) data[start + i * step] = mapped[i]!;
  }
  return { ...x, data };
}

const alongAxis =
  (fallback: number, f: (row: Float64Array, call: Call) => ArrayLike<number>): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    if (x.shape.length === 0) return [{ ...x, data: Float64Array.from(f(numbersOf(x), call)) }];
    return [mapRows(x, wholeAxis(int(call, "axis", fallback), x.shape.length), (row) => f(row, call))];
  };

export function softmaxRow(row: Float64Array): Float64Array {
  const top = largest(Array.from(row));
  const powers = row.map((v) => Math.exp(v - top));
  const total = sum(Array.from(powers));
  return powers.map((p) => p / total);
}

/** Sums or products of an axis up to each element. */
const cumulative =
  (start: 0 | 1, f: (a: number, b: number) => number, wide: (a: bigint, b: bigint) => bigint): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const axis = wholeAxis(ints(call, 1)![0]!, x.shape.length);
    const [exclusive, reverse] = [int(call, "exclusive", 0) === 1, int(call, "reverse", 0) === 1];
    const size = x.shape[axis]!;
    const step = stridesOf(x.shape)[axis]!;
    const data = newData(x.dtype, x.shape);
    for (let row = 0; row < x.data.length / size; row++) {
      const first = Math.floor(row / step) * size * step + (row % step);
      let total: number | bigint = isWideData(data) ? BigInt(start) : start;
      for (let k = 0; k < size; k++) {
        const at = first + (reverse ? size - 1 - k : k) * step;
        const before: number | bigint = total;
        const v = x.data[at]!;
        total = typeof v === "bigint" ? wide(total as bigint, v) : f(total as number, v);
        data[at] = (exclusive ? before : total) as never;
      }
    }
    return [{ ...x, data }];
  };

export const reductions: EvaluateRules = {
  ReduceSum: reduction(sum, (v) => v.reduce((s, x) => s + x, 0n)),
  ReduceMean: reduction((v) => sum(v) / v.length),
  ReduceMax: extreme(0, Math.max, (a, b) => (a > b ? a : b)),
  ReduceMin: extreme(1, Math.min, (a, b) => (a < b ? a : b)),
  ReduceProd: reduction(
    (v) => v.reduce((p, x) => p * x, 1),
    (v) => v.reduce((p, x) => p * x, 1n),
  ),
  ReduceL1: reduction(
    (v) => sum(v.map(Math.abs)),
    (v) => v.reduce((s, x) => s + (x < 0n ? -x : x), 0n),
  ),
  ReduceL2: reduction((v) => Math.sqrt(sum(v.map((x) => x * x)))),
  ReduceSumSquare: reduction(
    (v) => sum(v.map((x) => x * x)),
    (v) => v.reduce((s, x) => s + x * x, 0n),
  ),
  ReduceLogSum: reduction((v) => Math.log(sum(v))),
  ReduceLogSumExp: reduction(logSumExp),
  ArgMax: arg((a, b) => a > b),
  ArgMin: arg((a, b) => a < b),
  Softmax: alongAxis(-1, softmaxRow),
  LogSoftmax: alongAxis(-1, (row) => {
    const total = logSumExp(Array.from(row));
    return row.map((v) => v - total);
  }),
  Hardmax: alongAxis(-1, (row) => {
    const best = row.indexOf(largest(Array.from(row)));
    return row.map((_, i) => Number(i === best));
  }),
  LpNormalization: alongAxis(-1, (row, call) => {
    const size =
      int(call, "p", 2) === 1 ? sum(Array.from(row, Math.abs)) : Math.sqrt(sum(Array.from(row, (v) => v * v)));
    return row.map((v) => (size === 0 ? 0 : v / size));
  }),
  CumSum: cumulative(
    0,
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  CumProd: cumulative(
    1,
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  Flatten: (call) => {
    const x = input(call, 0);
    const given = int(call, "axis", 1);
    const axis = given < 0 ? given + x.shape.length : given;
    const rows = x.shape.slice(0, axis).reduce((n, d) => n * d, 1);
    return [reshaped(x, [rows, x.shape.slice(axis).reduce((n, d) => n * d, 1)])];
  },
};
