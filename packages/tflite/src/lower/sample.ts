import { elementCount } from "@pare/core";
import { type Context, type Lowerings, refuse } from "./context.ts";
import { minus, mul, plus, widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

type Padding = "zeros" | "border" | "reflection";

/** What is read at places between its elements: the elements as rows [N * spatial, C], and the sizes of its dimensions. */
interface Field {
  readonly rows: Val;
  readonly sizes: readonly number[];
  /** The number of the first row of each place's image, against the places. */
  readonly base: Val;
}

const within = (c: Context, x: Val, low: number, high: number) =>
  c.binary("MINIMUM", c.binary("MAXIMUM", x, c.scalar(low, x)), c.scalar(high, x));

/** Coordinates thrown back at `low` and `high` as often as it takes. */
function reflected(c: Context, x: Val, low: number, high: number): Val {
  const span = high - low;
  if (span <= 0) return mul(c, x, 0);
  const distance = c.unary("ABS", plus(c, x, -low));
  const turned = c.binary("FLOOR_MOD", distance, c.scalar(2 * span, x));
  return minus(c, c.scalar(low + span, x), c.unary("ABS", plus(c, turned, -span)));
}

/** The elements at whole coordinates, one list for each dimension; outside they are 0, or what `padding` says. */
function elementsAt(c: Context, f: Field, at: readonly Val[], padding: Padding, bounds: Bounds): Val {
  let inside: Val | undefined;
  let number: Val | undefined;
  at.forEach((given, i) => {
    const size = f.sizes[i]!;
    const x = padding === "reflection" ? reflected(c, given, ...bounds(size)) : given;
    const held = c.cast(within(c, c.unary("FLOOR", plus(c, x, 0.25)), 0, size - 1), "int32");
    if (padding === "zeros") {
      const low = c.binary("GREATER", given, c.scalar(-0.5, given), "bool");
      const isIn = c.binary("LOGICAL_AND", low, c.binary("LESS", given, c.scalar(size - 0.5, given), "bool"));
      inside = inside ? c.binary("LOGICAL_AND", inside, isIn) : isIn;
    }
    number = number ? plus(c, c.binary("MUL", number, c.scalar(size, number)), held) : held;
  });
  const found = c.gather(f.rows, plus(c, number!, f.base), 0);
  if (!inside) return found;
  return c.select(c.reshape(inside, [...inside.shape, 1]), found, c.scalar(0, found));
}

type Bounds = (size: number) => readonly [number, number];

/** Sums over all combinations of taps: for each dimension coordinates and weights. Or what `join` makes of two. */
function combined(
  c: Context,
  f: Field,
  taps: readonly (readonly { readonly at: Val; readonly weight: Val }[])[],
  padding: Padding,
  bounds: Bounds,
  join = plus,
): Val {
  let sum: Val | undefined;
  const visit = (axis: number, at: readonly Val[], weight: Val | undefined): void => {
    if (axis === taps.length) {
      const found = elementsAt(c, f, at, padding, bounds);
      const part = mul(c, found, c.reshape(weight!, [...weight!.shape, 1]));
      sum = sum ? join(c, sum, part) : part;
      return;
    }
    for (const tap of taps[axis]!) visit(axis + 1, [...at, tap.at], weight ? mul(c, weight, tap.weight) : tap.weight);
  };
  visit(0, [], undefined);
  return sum!;
}

/** The two neighbours of a coordinate and their weights. */
function linearTaps(c: Context, x: Val) {
  const low = c.unary("FLOOR", x);
  const part = minus(c, x, low);
  return [
    { at: low, weight: minus(c, c.scalar(1, x), part) },
    { at: plus(c, low, 1), weight: part },
  ];
}

/** Four neighbours and the weights of Keys' cubic with a = -0.75. */
function cubicTaps(c: Context, x: Val) {
  const a = -0.75;
  const low = c.unary("FLOOR", x);
  const t = minus(c, x, low);
  const polynomial = (v: Val, ...factors: readonly number[]) =>
    factors.slice(1).reduce((sum, k) => plus(c, mul(c, sum, v), k), c.scalar(factors[0]!, v));
  const near = (v: Val) => plus(c, mul(c, mul(c, plus(c, mul(c, v, a + 2), -(a + 3)), v), v), 1);
  const far = (v: Val) => polynomial(v, a, -5 * a, 8 * a, -4 * a);
  const rest = minus(c, c.scalar(1, t), t);
  return [
    { at: plus(c, low, -1), weight: far(plus(c, t, 1)) },
    { at: low, weight: near(t) },
    { at: plus(c, low, 1), weight: near(rest) },
    { at: plus(c, low, 2), weight: far(plus(c, rest, 1)) },
  ];
}

/** [N, C, …] as rows with its channels, which begin at these numbers for each of its images. */
function fieldOf(c: Context, x: Val, base: Val): Field {
  const sizes = x.shape.slice(2);
  const perm = [0, ...sizes.map((_, i) => i + 2), 1];
  const rows = c.reshape(c.transpose(x, perm), [x.shape[0]! * elementCount(sizes), x.shape[1]!]);
  return { rows, sizes, base };
}

function gridSample(c: Context) {
  const [x, grid] = [c.in(0), c.in(1)].map((v) => widened(c, v, ["float32"])) as [Val, Val];
  const sizes = x.shape.slice(2);
  const isAligned = c.int("align_corners", 0) === 1;
  const padding = c.text("padding_mode", "zeros") as Padding;
  const mode = c.text("mode", "linear").replace(/^bi/, "");
  const places = grid.shape.slice(0, -1);
  const n = x.shape[0]!;
  const starts = Array.from({ length: n }, (_, i) => i * elementCount(sizes));
  const f = fieldOf(c, x, c.full("int32", [n, ...places.slice(1).map(() => 1)], starts));
  const bounds: Bounds = (size) => (isAligned ? [0, size - 1] : [-0.5, size - 0.5]);
  const coordinates = sizes.map((size, i) => {
    // The grid names the last dimension first.
    const given = c.reshape(c.part(grid, grid.shape.length - 1, sizes.length - 1 - i, 1), places);
    const at = isAligned
      ? mul(c, plus(c, given, 1), (size - 1) / 2)
      : plus(c, mul(c, plus(c, given, 1), size / 2), -0.5);
    if (mode === "cubic" || padding === "zeros") return at;
    return padding === "border" ? within(c, at, 0, size - 1) : reflected(c, at, ...bounds(size));
  });
  const inner = (() => {
    if (mode === "nearest") {
      const rounded = coordinates.map((v) => c.unary("ROUND", v));
      return elementsAt(c, f, rounded, padding, bounds);
    }
    if (mode === "cubic")
      return combined(
        c,
        f,
        coordinates.map((v) => cubicTaps(c, v)),
        padding,
        bounds,
      );
    if (mode !== "linear") return refuse(`its mode is ${mode}`);
    return combined(
      c,
      f,
      coordinates.map((v) => linearTaps(c, v)),
      padding,
      bounds,
    );
  })();
  const rank = inner.shape.length;
  const back = [0, rank - 1, ...sizes.map((_, i) => i + 1)];
  c.give(0, c.cast(c.transpose(inner, back), c.in(0).dtype));
}

/** Boxes of an image, each divided into bins, of which some points are read. */
function roiAlign(c: Context) {
  const [x, rois] = [c.in(0), c.in(1)].map((v) => widened(c, v, ["float32"])) as [Val, Val];
  const ratio = c.int("sampling_ratio", 0);
  if (ratio <= 0) refuse("how many points it reads depends on its boxes", "Give it a sampling_ratio.");
  const [height, width] = [c.int("output_height", 1), c.int("output_width", 1)];
  const scale = c.float("spatial_scale", 1);
  const isHalf = c.text("coordinate_transformation_mode", "half_pixel") === "half_pixel";
  const count = rois.shape[0]!;
  const [h, w] = x.shape.slice(2) as [number, number];
  const side = (i: number) => {
    const scaled = mul(c, c.part(rois, 1, i, 1), scale);
    return isHalf ? plus(c, scaled, -0.5) : scaled;
  };
  /** Coordinates [boxes, bins * ratio] along a dimension. */
  const along = (from: Val, to: Val, bins: number): Val => {
    const size = minus(c, to, from);
    const whole = isHalf ? size : c.binary("MAXIMUM", size, c.scalar(1, size));
    const steps = Array.from(
      { length: bins * ratio },
      (_, i) => (Math.floor(i / ratio) + ((i % ratio) + 0.5) / ratio) / bins,
    );
    return plus(c, from, mul(c, whole, c.full("float32", [1, bins * ratio], steps)));
  };
  const [rows, columns] = [height * ratio, width * ratio];
  const y = c.expand(c.reshape(along(side(1), side(3), height), [count, rows, 1]), [count, rows, columns]);
  const z = c.expand(c.reshape(along(side(0), side(2), width), [count, 1, columns]), [count, rows, columns]);
  const images = c.reshape(mul(c, c.cast(c.in(2), "float32"), h * w), [count, 1, 1]);
  const f = fieldOf(c, x, c.cast(images, "int32"));
  const isIn = (v: Val, size: number) =>
    c.binary(
      "LOGICAL_AND",
      c.binary("GREATER_EQUAL", v, c.scalar(-1, v), "bool"),
      c.binary("LESS_EQUAL", v, c.scalar(size, v), "bool"),
    );
  const inside = c.binary("LOGICAL_AND", isIn(y, h), isIn(z, w));
  const taps = [within(c, y, 0, h - 1), within(c, z, 0, w - 1)].map((v) => linearTaps(c, v));
  const shape = [count, height, ratio, width, ratio, x.shape[1]!];
  const isMax = c.text("mode", "avg") === "max";
  const read = combined(c, f, taps, "border", () => [0, 0], isMax ? largest : plus);
  const held = c.select(c.reshape(inside, [count, rows, columns, 1]), read, c.scalar(0, read));
  const bins = c.reduce(isMax ? "REDUCE_MAX" : "MEAN", c.reshape(held, shape), [2, 4], false);
  c.give(0, c.cast(c.transpose(bins, [0, 3, 1, 2]), c.in(0).dtype));
}

const largest: typeof plus = (c, a, b) => c.binary("MAXIMUM", a, typeof b === "number" ? c.scalar(b, a) : b);

/** A convolution whose taps are moved and weighted for each place, of two spatial dimensions. */
function deformConv(c: Context) {
  const [x, w, offset] = [0, 1, 2].map((i) => widened(c, c.in(i), ["float32"])) as [Val, Val, Val];
  if (x.shape.length !== 4) refuse("its input has not two spatial dimensions");
  const [bias, mask] = [3, 4].map((i) => c.maybe(i) && widened(c, c.in(i), ["float32"]));
  const [n, channels, height, width] = x.shape as [number, number, number, number];
  const [filters, depth, kh, kw] = w.shape as [number, number, number, number];
  const [, , rows, columns] = offset.shape as [number, number, number, number];
  const [groups, moved, taps] = [c.int("group", 1), c.int("offset_group", 1), kh * kw];
  const [strides, dilations] = [c.intList("strides") ?? [1, 1], c.intList("dilations") ?? [1, 1]];
  const pads = c.intList("pads") ?? [0, 0, 0, 0];
  const places = rows * columns * taps;
  const starts = Array.from({ length: n }, (_, i) => i * height * width);
  const base = c.full("int32", [n, 1], starts);
  /** Where the taps read along a dimension without offsets, for each place. */
  const still = (axis: 0 | 1): Val => {
    const numbers = Array.from({ length: places }, (_, i) => {
      const [place, tap] = [Math.floor(i / taps), i % taps];
      const [at, k] = axis === 0 ? [Math.floor(place / columns), Math.floor(tap / kw)] : [place % columns, tap % kw];
      return at * strides[axis]! - pads[axis]! + k * dilations[axis]!;
    });
    return c.full("float32", [1, places], numbers);
  };
  const grid = [still(0), still(1)];
  /** What a group of offsets has for each place: `each` numbers for each tap. */
  const own = (v: Val, group: number, each: number) =>
    c.reshape(c.transpose(c.part(v, 1, group * taps * each, taps * each), [0, 2, 3, 1]), [n, places, each]);
  const parts = Array.from({ length: moved }, (_, group) => {
    const f = fieldOf(c, c.part(x, 1, (group * channels) / moved, channels / moved), base);
    const shifts = own(offset, group, 2);
    const at = grid.map((v, axis) => plus(c, c.reshape(c.part(shifts, 2, axis, 1), [n, places]), v));
    const read = combined(
      c,
      f,
      at.map((v) => linearTaps(c, v)),
      "zeros",
      () => [0, 0],
    );
    return mask ? mul(c, read, own(mask, group, 1)) : read;
  });
  const read = c.concat(parts, 2);
  const results = Array.from({ length: groups }, (_, group) => {
    const taken = c.reshape(c.part(read, 2, group * depth, depth), [n * rows * columns, taps * depth]);
    const each = filters / groups;
    const weight = c.transpose(c.reshape(c.part(w, 0, group * each, each), [each, depth, taps]), [0, 2, 1]);
    return c.dense(taken, c.reshape(weight, [each, taps * depth]), bias && c.part(bias, 0, group * each, each));
  });
  const result = c.reshape(c.concat(results, 1), [n, rows, columns, filters]);
  c.give(0, c.cast(c.transpose(result, [0, 3, 1, 2]), c.in(0).dtype));
}

export const samples: Lowerings = { GridSample: gridSample, RoiAlign: roiAlign, DeformConv: deformConv };
