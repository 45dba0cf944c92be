import { elementCount } from "@pare/core";
import { dtypeOf } from "@pare/ops/dtype-codes";
import { axisOf, type Context, type Lowerings, refuse } from "./context.ts";
import { widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

/** Shapes that are computed from others: constants, or what inference knows. */
function target(c: Context, input: number, what: string): readonly number[] {
  return c.inferred(0) ?? c.constants(input, what);
}

const toShape = (c: Context) => {
  const shape = c.inferred(0) ?? refuse("its shape is known only when it runs");
  c.give(0, c.reshape(c.in(0), shape));
};

function reshape(c: Context) {
  const x = c.in(0);
  const known = c.numbers(c.maybe(1));
  if (!known) return toShape(c);
  const allowZero = c.int("allowzero", 0) === 1;
  const shape = known.map((d, i) => (d === 0 && !allowZero ? (x.shape[i] ?? refuse(`it has no dimension ${i}`)) : d));
  const rest = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
  c.give(
    0,
    c.reshape(
      x,
      shape.map((d) => (d === -1 ? elementCount(x.shape) / rest : d)),
    ),
  );
}

function flatten(c: Context) {
  const x = c.in(0);
  const axis = c.int("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  c.give(0, c.reshape(x, [elementCount(x.shape.slice(0, at)), elementCount(x.shape.slice(at))]));
}

function squeeze(c: Context) {
  const x = c.in(0);
  const axes = c.maybe(1) ? c.constants(1, "axes").map((a) => axisOf(a, x.shape.length)) : undefined;
  c.give(
    0,
    c.reshape(
      x,
      x.shape.filter((d, i) => (axes ? !axes.includes(i) : d !== 1)),
    ),
  );
}

function unsqueeze(c: Context) {
  const x = c.in(0);
  const given = c.constants(1, "axes");
  const rank = x.shape.length + given.length;
  const axes = given.map((a) => axisOf(a, rank));
  const rest = [...x.shape];
  c.give(
    0,
    c.reshape(
      x,
      Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : rest.shift()!)),
    ),
  );
}

function slice(c: Context) {
  const x = c.in(0);
  const rank = x.shape.length;
  const [starts, ends] = [c.constants(1, "starts"), c.constants(2, "ends")];
  const axes = (c.maybe(3) ? c.constants(3, "axes") : starts.map((_, i) => i)).map((a) => axisOf(a, rank));
  const steps = c.maybe(4) ? c.constants(4, "steps") : starts.map(() => 1);
  const [begin, size, stride] = [x.shape.map(() => 0), [...x.shape], x.shape.map(() => 1)];
  let v = x;
  axes.forEach((axis, i) => {
    const dim = x.shape[axis]!;
    const step = steps[i]!;
    const clamp = (at: number, low: number, high: number) => Math.max(low, Math.min(high, at < 0 ? at + dim : at));
    if (step < 0) {
      const [from, to] = [clamp(starts[i]!, 0, dim - 1), clamp(ends[i]!, -1, dim - 1)];
      const end = ends[i]! < -dim ? -1 : to;
      v = c.reverse(v, axis);
      begin[axis] = dim - 1 - from;
      size[axis] = Math.max(0, Math.ceil((from - end) / -step));
    } else {
      const [from, to] = [clamp(starts[i]!, 0, dim), clamp(ends[i]!, 0, dim)];
      begin[axis] = from;
      size[axis] = Math.max(0, Math.ceil((to - from) / step));
    }
    stride[axis] = Math.abs(step);
  });
  if (size.includes(0)) refuse("its result has no elements");
  c.give(0, stride.every((s) => s === 1) ? c.slice(v, begin, size) : c.strided(v, begin, size, stride));
}

function split(c: Context) {
  const x = c.in(0);
  const axis = axisOf(c.int("axis", 0), x.shape.length);
  const dim = x.shape[axis]!;
  const count = c.node.outputs.length;
  const each = Math.ceil(dim / c.int("num_outputs", count));
  const sizes = c.maybe(1)
    ? c.constants(1, "sizes")
    : Array.from({ length: count }, (_, i) => Math.min(each, dim - i * each));
  const results = sizes.map((s) => ({ shape: x.shape.map((d, i) => (i === axis ? s : d)), dtype: x.dtype }));
  const full = results.filter((_, i) => sizes[i] !== 0);
  const lengths = sizes.filter((s) => s !== 0);
  const equal = lengths.every((s) => s === lengths[0]);
  const at = c.full("int32", [], [axis]);
  const options = { num_splits: full.length };
  const parts =
    full.length === 1
      ? [x]
      : equal
        ? c.addMany("SPLIT", [at, x], full, options)
        : c.addMany("SPLIT_V", [x, c.ints(lengths), at], full, options);
  let next = 0;
  results.forEach(({ shape, dtype }, i) => {
    c.give(i, sizes[i] === 0 ? c.full(dtype, shape, []) : parts[next++]!);
  });
}

/** Gathers the positions of a dimension that stand in `at`. */
const pick = (c: Context, x: Val, axis: number, at: readonly number[]) => c.gather(x, c.ints(at), axis);

function pad(c: Context) {
  const x = c.in(0);
  const rank = x.shape.length;
  const given = c.constants(1, "pads");
  const axes = c.maybe(3) ? c.constants(3, "axes").map((a) => axisOf(a, rank)) : x.shape.map((_, i) => i);
  const [before, after] = [x.shape.map(() => 0), x.shape.map(() => 0)];
  axes.forEach((axis, i) => {
    before[axis] = given[i]!;
    after[axis] = given[axes.length + i]!;
  });
  const mode = c.text("mode", "constant");
  if (mode !== "constant") {
    let v = x;
    x.shape.forEach((dim, axis) => {
      const [b, a] = [before[axis]!, after[axis]!];
      if (b === 0 && a === 0) return;
      const at = Array.from({ length: dim + b + a }, (_, i) => sourceOf(i - b, dim, mode));
      v = pick(c, v, axis, at);
    });
    return c.give(0, v);
  }
  let v = x;
  if ([...before, ...after].some((p) => p < 0)) {
    const begin = before.map((p) => Math.max(0, -p));
    v = c.slice(
      v,
      begin,
      x.shape.map((d, i) => d - begin[i]! - Math.max(0, -after[i]!)),
    );
  }
  const value = c.maybe(2) ? c.constants(2, "value")[0]! : 0;
  const [b, a] = [before, after].map((list) => list.map((p) => Math.max(0, p)));
  const wide = widened(c, v, ["float32", "int32", "int64", "int8", "uint8"]);
  c.give(0, c.cast(c.pad(wide, b!, a!, value), x.dtype));
}

/** Which element stands at a place outside. */
function sourceOf(at: number, dim: number, mode: string): number {
  if (mode === "edge") return Math.max(0, Math.min(dim - 1, at));
  if (mode === "wrap") return ((at % dim) + dim) % dim;
  if (mode !== "reflect") return refuse(`its mode is ${mode}`);
  if (dim === 1) return 0;
  const period = 2 * (dim - 1);
  const in0 = ((at % period) + period) % period;
  return in0 < dim ? in0 : period - in0;
}

function depthToSpace(c: Context) {
  const x = c.in(0);
  const b = c.int("blocksize", 1);
  const [n, d, h, w] = x.shape as [number, number, number, number];
  const depth = d / (b * b);
  const crd = c.text("mode", "DCR") === "CRD";
  const parts = c.reshape(x, crd ? [n, depth, b, b, h, w] : [n, b, b, depth, h, w]);
  const mixed = c.transpose(parts, crd ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]);
  if (!crd && x.dtype === "float32")
    return c.give(
      0,
      c.add(
        "DEPTH_TO_SPACE",
        [{ value: x, order: "last" }],
        { shape: [n, depth, h * b, w * b], dtype: x.dtype, order: "last" },
        { block_size: b },
      ),
    );
  c.give(0, c.reshape(mixed, [n, depth, h * b, w * b]));
}

function spaceToDepth(c: Context) {
  const x = c.in(0);
  const b = c.int("blocksize", 1);
  const [n, d, h, w] = x.shape as [number, number, number, number];
  const result = { shape: [n, d * b * b, h / b, w / b], dtype: x.dtype, order: "last" as const };
  c.give(0, c.add("SPACE_TO_DEPTH", [{ value: x, order: "last" }], result, { block_size: b }));
}

function trilu(c: Context) {
  const x = c.in(0);
  const k = c.maybe(1) ? c.constants(1, "diagonal")[0]! : 0;
  const upper = c.int("upper", 1) === 1;
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const kept = Array.from({ length: rows * columns }, (_, i) => {
    const distance = (i % columns) - Math.floor(i / columns);
    return Number(upper ? distance >= k : distance <= k);
  });
  c.give(0, c.select(c.full("bool", [rows, columns], kept), x, c.scalar(0, x)));
}

function cumSum(c: Context) {
  const x = c.in(0);
  const axis = axisOf(c.constants(1, "axis")[0]!, x.shape.length);
  const v = widened(c, x, ["float32", "int32", "int64"]);
  const options = { exclusive: c.int("exclusive", 0) === 1, reverse: c.int("reverse", 0) === 1 };
  const at = c.full("int32", [], [axis]);
  c.give(0, c.cast(c.add("CUMSUM", [v, at], { shape: v.shape, dtype: v.dtype }, options), x.dtype));
}

function reverseSequence(c: Context) {
  const x = c.in(0);
  const v = widened(c, x, ["float32", "int32", "int64", "uint8"]);
  const options = { seq_dim: c.int("time_axis", 0), batch_dim: c.int("batch_axis", 1) };
  const lengths = c.cast(c.in(1), "int32");
  c.give(0, c.cast(c.add("REVERSE_SEQUENCE", [v, lengths], { shape: v.shape, dtype: v.dtype }, options), x.dtype));
}

export const arrange: Lowerings = {
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Identity: (c) => c.give(0, c.in(0)),
  Dropout: (c) => {
    const training =
      c.numbers(c.maybe(2))?.[0] ?? (c.maybe(2) ? refuse("whether it trains is known only when it runs") : 0);
    if (training !== 0 && c.numbers(c.maybe(1))?.[0] !== 0)
      refuse("it draws random numbers", "Export it for inference.");
    c.give(0, c.in(0));
    if (c.wants(1)) c.give(1, c.full("bool", c.in(0).shape, 1));
  },
  Transpose: (c) => {
    const rank = c.in(0).shape.length;
    c.give(0, c.transpose(c.in(0), c.intList("perm") ?? Array.from({ length: rank }, (_, i) => rank - 1 - i)));
  },
  Concat: (c) => {
    const parts = c.inputs.map((_, i) => c.in(i));
    c.give(0, c.concat(parts, axisOf(c.int("axis", 0), parts[0]!.shape.length)));
  },
  Slice: slice,
  Split: split,
  Pad: pad,
  Expand: (c) => {
    const x = c.in(0);
    const to = target(c, 1, "shape");
    const rank = Math.max(to.length, x.shape.length);
    const [a, b] = [x.shape, to].map((s) => [...Array(rank - s.length).fill(1), ...s] as number[]);
    const shape = a!.map((d, i) => (d === 1 ? b![i]! : d));
    c.give(0, c.expand(x, shape));
  },
  Tile: (c) => {
    const x = c.in(0);
    const repeats = c.constants(1, "repeats");
    const shape = x.shape.map((d, i) => d * repeats[i]!);
    c.give(0, c.add("TILE", [x, c.ints(repeats)], { shape, dtype: x.dtype }));
  },
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Trilu: trilu,
  CumSum: cumSum,
  ReverseSequence: reverseSequence,
  Shape: (c) => {
    const { shape } = c.in(0);
    const at = (name: string, fallback: number) => {
      const v = c.int(name, fallback);
      return Math.max(0, Math.min(shape.length, v < 0 ? v + shape.length : v));
    };
    const dims = shape.slice(at("start", 0), at("end", shape.length));
    c.give(0, c.full("int64", [dims.length], dims));
  },
  EyeLike: (c) => {
    const x = c.in(0);
    const [rows, columns] = x.shape as [number, number];
    const k = c.int("k", 0);
    const ones = Array.from({ length: rows * columns }, (_, i) =>
      Number((i % columns) - Math.floor(i / columns) === k),
    );
    const dtype = c.node.attributes.has("dtype") ? dtypeOf(c.int("dtype", 1)) : x.dtype;
    c.give(0, c.full(dtype ?? refuse("its element type is unknown"), x.shape, ones));
  },
  Size: (c) => c.give(0, c.full("int64", [], [elementCount(c.in(0).shape)])),
};
