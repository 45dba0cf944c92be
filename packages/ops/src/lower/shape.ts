import { attr, tensor } from "@pare/core";
import { type Builder, LAST, type Lower, toType } from "./builder.ts";

/** All dimensions were given, and are cut out. */
export const shape: Lower = (b) => {
  const x = b.input(0)!;
  const [start, end] = [b.intOf("start", 0), b.intOf("end", LAST)];
  if (start === 0 && end === LAST) return b.keep({ attributes: { start: undefined, end: undefined } });
  b.give("Slice", [b.add("Shape", [x]), b.ints([start]), b.ints([end])]);
};

export const castLike: Lower = (b) =>
  b.keep({ op: "Cast", inputs: [b.input(0)], attributes: toType(b.dtype(b.input(1)!)) });

/** A zero meant the dimension of the input, which is the same where there is no zero. */
export const reshape: Lower = (b) => {
  const [x, to] = [b.input(0)!, b.input(1)!];
  const copies = { attributes: { allowzero: undefined } };
  const dims = b.elements(to) ?? b.shape(b.node.outputs[0]!);
  if (b.intOf("allowzero", 0) === 0 || dims?.every((d) => d !== null && d !== 0)) return b.keep(copies);
  const known = b.constantInts(to);
  if (!known) return b.refuse("its shape is known only when the model runs, and may hold a 0");
  // Nothing is in it.
  const none = b.constant(
    tensor(
      b.dtype(x),
      known.map((d) => Math.max(d, 0)),
      [],
    ),
  );
  b.give("Identity", [none]);
};

/** Keeps what is on one side of a diagonal, by comparing columns with rows. */
export const trilu: Lower = (b) => {
  const [x, k] = [b.input(0)!, b.input(1)];
  const range = (axis: number) => b.add("Range", [b.int(0), b.dim(x, axis), b.int(1)]);
  const distance = b.add("Sub", [range(-1), b.add("Unsqueeze", [range(-2), b.ints([1])])]);
  const side = b.intOf("upper", 1) === 1 ? "GreaterOrEqual" : "LessOrEqual";
  const kept = b.add(side, [distance, k ?? b.int(0)]);
  b.give("Where", [kept, x, b.constant(tensor(b.dtype(x), [], [0]))]);
};

/** Parts came by their number only where all are equal. */
export const split: Lower = (b) => {
  const [x, sizes] = [b.input(0)!, b.input(1)];
  const bare = { num_outputs: undefined };
  if (sizes) return b.keep({ attributes: bare });
  const count = b.node.outputs.length;
  const axis = b.intOf("axis", 0);
  const dim = b.shape(x)?.at(axis);
  if (typeof dim === "number" && dim % count === 0) return b.keep({ attributes: bare });
  if (typeof dim === "number") {
    const each = Math.ceil(dim / count);
    const list = Array.from({ length: count }, (_, i) => Math.max(0, Math.min(each, dim - i * each)));
    return b.keep({ inputs: [x, b.ints(list)], attributes: bare });
  }
  const size = b.dims(x, axis, axis === -1 ? undefined : axis + 1);
  const each = b.add("Div", [b.add("Add", [size, b.ints([count - 1])]), b.ints([count])]);
  const before = b.add("Mul", [each, b.ints([count - 1])]);
  const last = b.add("Sub", [size, before]);
  const all = b.add("Concat", [...Array(count - 1).fill(each), last], { axis: attr.int(0) });
  b.keep({ inputs: [x, all], attributes: bare });
};

/** Amounts before and after each of all axes, from those of some. */
function padsOfAll(b: Builder, x: string, pads: string, axes: string): string {
  const rank = b.rank(x);
  const [at, known] = [b.constantInts(axes)?.map((axis) => (axis < 0 ? axis + rank : axis)), b.constantInts(pads)];
  if (!at || !known) {
    const first = b.add("Mod", [b.cast(axes, "int64"), b.int(rank)]);
    const both = b.add("Concat", [first, b.add("Add", [first, b.int(rank)])], { axis: attr.int(0) });
    return b.add("ScatterElements", [b.ints(Array(2 * rank).fill(0)), both, pads]);
  }
  if (known.length !== 2 * at.length || at.some((axis) => axis < 0 || axis >= rank))
    b.refuse("its pads do not fit its axes");
  const all = Array<number>(2 * rank).fill(0);
  at.forEach((axis, i) => {
    all[axis] = known[i]!;
    all[axis + rank] = known[i + at.length]!;
  });
  return b.ints(all);
}

export const pad: Lower = (b) => {
  const [x, pads, value, axes] = [b.input(0)!, b.input(1)!, b.input(2), b.input(3)];
  b.keep({ inputs: [x, axes ? padsOfAll(b, x, pads, axes) : pads, value] });
};

/** Pads what is too small and cuts what is too large, both in the middle. */
export const centerCropPad: Lower = (b) => {
  const [x, to] = [b.input(0)!, b.input(1)!];
  const rank = b.rank(x);
  const axes = b.intsOf("axes") ?? Array.from({ length: rank }, (_, i) => i);
  const places = b.ints(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const two = b.ints([2]);
  const now = b.add("Gather", [b.dims(x, 0), places]);
  const target = b.cast(to, "int64");
  const more = b.add("Sub", [b.add("Max", [now, target]), now]);
  const before = b.add("Div", [more, two]);
  const amounts = b.add("Concat", [before, b.add("Sub", [more, before])], { axis: attr.int(0) });
  const padded = b.add("Pad", [x, padsOfAll(b, x, amounts, places)]);
  const start = b.add("Div", [b.add("Sub", [b.add("Max", [now, target]), target]), two]);
  b.give("Slice", [padded, start, b.add("Add", [start, target]), places]);
};

/** Writes into a cache along an axis, from a place that each sample says. */
export const tensorScatter: Lower = (b) => {
  const [cache, update, places] = [b.input(0)!, b.input(1)!, b.input(2)];
  const rank = b.rank(cache);
  const axis = b.intOf("axis", -2);
  const at = axis < 0 ? axis + rank : axis;
  const along = (d: number) => b.ints(Array.from({ length: rank }, (_, i) => (i === d ? -1 : 1)));
  const steps = b.add("Reshape", [b.add("Range", [b.int(0), b.dim(update, at), b.int(1)]), along(at)]);
  const moved = places ? b.add("Add", [steps, b.add("Reshape", [places, along(0)])]) : steps;
  const index = b.textOf("mode", "linear") === "circular" ? b.add("Mod", [moved, b.dim(cache, at)]) : moved;
  const all = b.add("Expand", [index, b.dims(update, 0)]);
  b.give("ScatterElements", [cache, all, update], { axis: attr.int(at) });
};

/** An affine map of the coordinates of an image, each from -1 to 1. */
export const affineGrid: Lower = (b) => {
  const [theta, size] = [b.input(0)!, b.input(1)!];
  const rows = b.shape(theta)?.[1] ?? (b.shape(size)?.[0] === 4 ? 2 : b.shape(size)?.[0] === 5 ? 3 : undefined);
  if (rows !== 2 && rows !== 3) return b.refuse("the shape of theta is not known");
  const dtype = b.dtype(theta);
  const num = (v: number) => b.float(v, dtype);
  const corners = b.intOf("align_corners", 0) === 1;
  const part = (from: number, to: number) => b.add("Slice", [size, b.ints([from]), b.ints([to])]);
  const spatial = part(2, 2 + rows);
  const shape = b.add("Concat", [spatial, b.ints([1])], { axis: attr.int(0) });
  /** The coordinate along a spatial axis, spread over all of them: [..., 1]. */
  const coordinate = (axis: number) => {
    const count = b.add("Squeeze", [part(2 + axis, 3 + axis), b.ints([0])]);
    const index = b.cast(b.add("Range", [b.int(0), count, b.int(1)]), dtype);
    const length = b.cast(count, dtype);
    const last = () => b.add("Max", [b.add("Sub", [length, num(1)]), num(1)]);
    const step = b.add("Div", [num(2), corners ? last() : length]);
    const first = corners ? num(-1) : b.add("Sub", [b.add("Div", [step, num(2)]), num(1)]);
    const line = b.add("Add", [b.add("Mul", [index, step]), first]);
    const broad = b.add("Reshape", [line, b.ints(Array.from({ length: rows + 1 }, (_, i) => (i === axis ? -1 : 1)))]);
    return b.add("Expand", [broad, shape]);
  };
  // x is the last spatial axis.
  const axes = Array.from({ length: rows }, (_, i) => coordinate(rows - 1 - i));
  const ones = b.add("Expand", [num(1), shape]);
  const points = b.add("Concat", [...axes, ones], { axis: attr.int(-1) });
  const flat = b.add("Reshape", [points, b.ints([1, -1, rows + 1])]);
  const mapped = b.add("MatMul", [flat, b.add("Transpose", [theta], { perm: attr.ints([0, 2, 1]) })]);
  b.give("Reshape", [mapped, b.add("Concat", [part(0, 1), spatial, b.ints([rows])], { axis: attr.int(0) })]);
};
