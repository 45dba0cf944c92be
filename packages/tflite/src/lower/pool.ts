import { elementCount, isFloat } from "@pare/core";
import { integerRange } from "@pare/ops/numeric";
import { stridesOf } from "./constant.ts";
import { type Context, type Lowerings, last, refuse } from "./context.ts";
import { isSame, padded, type Window, windowOf } from "./convolution.ts";
import { mul, widened } from "./elementwise.ts";
import { hasOrders, type Val } from "./program.ts";

/** TFLite's own pooling: two spatial dimensions (or one, made two), no dilation. */
function builtin(c: Context, code: "MAX_POOL_2D" | "AVERAGE_POOL_2D", x: Val, w: Window, same: boolean): Val {
  const line = x.shape.length === 3;
  const v = line ? c.reshapeLast(x, [x.shape[0]!, x.shape[1]!, 1, x.shape[2]!]) : x;
  const two = (list: readonly number[]) => (line ? [1, ...list] : list) as [number, number];
  const [[filter_height, filter_width], [stride_h, stride_w], out] = [two(w.kernel), two(w.strides), two(w.out)];
  const y = c.add(
    code,
    [last(v)],
    { shape: [x.shape[0]!, x.shape[1]!, ...out], dtype: x.dtype, order: "last" },
    { padding: same ? "SAME" : "VALID", filter_height, filter_width, stride_h, stride_w },
  );
  return line ? c.reshapeLast(y, [x.shape[0]!, x.shape[1]!, ...w.out]) : y;
}

const isPlain = (x: Val, w: Window) =>
  x.dtype === "float32" && x.shape.length <= 4 && hasOrders(x) && w.dilations.every((d) => d === 1);

/** Combines what stands in a window, one dimension after the other; the value is padded already. */
function alongEach(c: Context, x: Val, w: Window, combine: (a: Val, b: Val) => Val): Val {
  return w.kernel.reduce((v, k, i) => {
    const parts = Array.from({ length: k }, (_, j) => c.part(v, i + 2, j * w.dilations[i]!, w.out[i]!, w.strides[i]!));
    return parts.reduce(combine);
  }, x);
}

function maxPool(c: Context) {
  const given = c.in(0);
  const x = isFloat(given.dtype) ? widened(c, given, ["float32"]) : given;
  const w = windowOf(c, x, c.intList("kernel_shape")!);
  const same = isPlain(x, w) && isSame(w, x.shape.slice(2));
  const lowest = isFloat(x.dtype) ? Number.NEGATIVE_INFINITY : Number(integerRange(x.dtype)![0]);
  const wide = isPlain(x, w) ? x : widened(c, x, ["float32", "int32"]);
  const long = same ? wide : padded(c, wide, w, lowest);
  const result = isPlain(x, w)
    ? builtin(c, "MAX_POOL_2D", long, w, same)
    : alongEach(c, long, w, (a, b) => c.binary("MAXIMUM", a, b));
  c.give(0, c.cast(result, given.dtype));
  if (c.wants(1)) c.give(1, indicesOf(c, same ? padded(c, wide, w, lowest) : long, wide, result, w));
}

/** Where in the input each maximum stands: the first of each window, as a number in the order of the source. */
function indicesOf(c: Context, long: Val, x: Val, top: Val, w: Window): Val {
  const strides = stridesOf(x.shape);
  if (c.int("storage_order", 0) === 1) {
    let step = 1;
    for (let axis = 2; axis < x.shape.length; axis++) {
      strides[axis] = step;
      step *= x.shape[axis]!;
    }
  }
  const count = elementCount(top.shape);
  if (count * elementCount(w.kernel) > 1 << 24) refuse("its indices would take more memory than is reasonable");
  const outer = stridesOf(top.shape);
  let found: Val | undefined;
  for (let place = elementCount(w.kernel) - 1; place >= 0; place--) {
    const at = stridesOf(w.kernel).map((s, i) => Math.floor(place / s) % w.kernel[i]!);
    const part = at.reduce((v, j, i) => c.part(v, i + 2, j * w.dilations[i]!, w.out[i]!, w.strides[i]!), long);
    const numbers = Array.from({ length: count }, (_, n) =>
      top.shape.reduce((sum, d, axis) => {
        const position = Math.floor(n / outer[axis]!) % d;
        const from =
          axis < 2
            ? position
            : position * w.strides[axis - 2]! - w.before[axis - 2]! + at[axis - 2]! * w.dilations[axis - 2]!;
        return sum + from * strides[axis]!;
      }, 0),
    );
    const index = c.full("int64", top.shape, numbers);
    found = found ? c.select(c.binary("EQUAL", part, top, "bool"), index, found) : index;
  }
  return found!;
}

/** How many elements that are no padding each window has; with `all`, padding that the node asks for counts too. */
function countsOf(x: Val, w: Window, all: boolean): { readonly counts: number[]; readonly shape: number[] } {
  const each = w.out.map((out, i) =>
    Array.from({ length: out }, (_, o) => {
      const size = x.shape[i + 2]!;
      const inside = Array.from(
        { length: w.kernel[i]! },
        (_, j) => o * w.strides[i]! - w.before[i]! + j * w.dilations[i]!,
      );
      const [from, to] = all ? [-w.before[i]!, size + w.after[i]!] : [0, size];
      return inside.filter((at) => at >= from && at < to).length;
    }),
  );
  const counts = each.reduce<number[]>((products, list) => products.flatMap((p) => list.map((n) => p * n)), [1]);
  return { counts, shape: [1, 1, ...w.out] };
}

function averagePool(c: Context) {
  const x = widened(c, c.in(0), ["float32"]);
  const w = windowOf(c, x, c.intList("kernel_shape")!);
  const all = c.int("count_include_pad", 0) === 1;
  const same = isPlain(x, w) && isSame(w, x.shape.slice(2));
  const hasPadding = w.before.some((p) => p > 0) || w.after.some((p) => p > 0);
  if (same && (!all || !hasPadding)) {
    return c.give(0, c.cast(builtin(c, "AVERAGE_POOL_2D", x, w, true), c.in(0).dtype));
  }
  const size = elementCount(w.kernel);
  const { counts, shape } = countsOf(x, w, all);
  const long = padded(c, x, w);
  const mean = isPlain(x, w)
    ? builtin(c, "AVERAGE_POOL_2D", long, w, false)
    : mul(
        c,
        alongEach(c, long, w, (a, b) => c.binary("ADD", a, b)),
        1 / size,
      );
  const isEven = counts.every((n) => n === size);
  const factors = counts.map((n) => size / n);
  c.give(0, c.cast(isEven ? mean : mul(c, mean, c.full("float32", shape, factors)), c.in(0).dtype));
}

function lpPool(c: Context) {
  const x = widened(c, c.in(0), ["float32"]);
  const w = windowOf(c, x, c.intList("kernel_shape")!);
  const p = c.int("p", 2);
  const power = p === 2 ? mul(c, x, x) : c.binary("POW", c.unary("ABS", x), c.scalar(p, x));
  const sum = alongEach(c, padded(c, power, w), w, (a, b) => c.binary("ADD", a, b));
  const root = p === 2 ? c.unary("SQRT", sum) : c.binary("POW", sum, c.scalar(1 / p, sum));
  c.give(0, c.cast(root, c.in(0).dtype));
}

export const pools: Lowerings = { MaxPool: maxPool, AveragePool: averagePool, LpPool: lpPool };
