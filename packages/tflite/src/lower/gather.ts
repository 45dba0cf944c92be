import { elementCount, isFloat } from "@pare/core";
import { integerRange } from "@pare/ops/numeric";
import { stridesOf } from "./constant.ts";
import { axisOf, type Context, type Lowerings, refuse } from "./context.ts";
import { widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

/** Indices as int32 that count from the start: LiteRT refuses those below 0. */
function fromStart(c: Context, given: Val, size: number): Val {
  const known = c.numbers(given);
  if (known) {
    if (known.some((i) => i < -size || i >= size)) refuse(`an index is outside of ${size}`);
    return c.full(
      "int32",
      given.shape,
      known.map((i) => (i < 0 ? i + size : i)),
    );
  }
  const index = c.cast(given, "int32");
  const below = c.binary("LESS", index, c.scalar(0, index), "bool");
  return c.select(below, c.binary("ADD", index, c.scalar(size, index)), index);
}

function gather(c: Context) {
  const x = c.in(0);
  const axis = axisOf(c.int("axis", 0), x.shape.length);
  c.give(0, c.gather(x, fromStart(c, c.in(1), x.shape[axis]!), axis));
}

/** The elements along an axis, or of all, that a condition which is known names. */
function compress(c: Context) {
  const condition = c.constants(1, "condition");
  const whole = !c.node.attributes.has("axis");
  const x = whole ? c.reshape(c.in(0), [elementCount(c.in(0).shape)]) : c.in(0);
  const at = [...condition.keys()].filter((i) => condition[i] !== 0);
  c.give(0, c.gather(x, c.ints(at), whole ? 0 : axisOf(c.int("axis", 0), x.shape.length)));
}

/** For each element of a shape, its offset in a tensor of these strides, where `axis` does not count. */
function offsets(shape: readonly number[], strides: readonly number[], axis: number): number[] {
  const own = stridesOf(shape);
  return Array.from({ length: elementCount(shape) }, (_, n) =>
    shape.reduce((sum, d, i) => (i === axis ? sum : sum + (Math.floor(n / own[i]!) % d) * strides[i]!), 0),
  );
}

/** Numbers of the elements of `x` that indices along an axis name. */
function elementNumbers(c: Context, x: Val, given: Val, axis: number): Val {
  const strides = stridesOf(x.shape);
  const index = fromStart(c, given, x.shape[axis]!);
  const scaled = c.binary("MUL", index, c.scalar(strides[axis]!, index));
  return c.binary("ADD", scaled, c.full("int32", given.shape, offsets(given.shape, strides, axis)));
}

function gatherElements(c: Context) {
  const x = c.in(0);
  const axis = axisOf(c.int("axis", 0), x.shape.length);
  const flat = c.reshape(x, [elementCount(x.shape)]);
  c.give(0, c.gather(flat, elementNumbers(c, x, c.in(1), axis), 0));
}

/** Numbers of the blocks that tuples of indices name, of the dimensions from `start` on. */
function blockNumbers(c: Context, shape: readonly number[], given: Val, start: number): Val {
  const depth = given.shape.at(-1)!;
  const sizes = shape.slice(start, start + depth);
  const strides = stridesOf(sizes);
  const rank = given.shape.length;
  const known = c.numbers(given);
  if (known) {
    const sums = Array.from({ length: elementCount(given.shape.slice(0, -1)) }, (_, i) =>
      sizes.reduce((sum, size, j) => {
        const at = known[i * depth + j]!;
        if (at < -size || at >= size) refuse(`an index is outside of ${size}`);
        return sum + (at < 0 ? at + size : at) * strides[j]!;
      }, 0),
    );
    return c.full("int32", given.shape.slice(0, -1), sums);
  }
  const index = c.cast(given, "int32");
  const below = c.binary("LESS", index, c.scalar(0, index), "bool");
  const whole = c.select(below, c.binary("ADD", index, c.ints(sizes)), index);
  return c.reduce("SUM", c.binary("MUL", whole, c.ints(strides)), [rank - 1], false);
}

function gatherND(c: Context) {
  const [x, indices] = [c.in(0), c.in(1)];
  const batch = c.int("batch_dims", 0);
  const depth = indices.shape.at(-1)!;
  const blocks = elementCount(x.shape.slice(batch, batch + depth));
  const groups = elementCount(x.shape.slice(0, batch));
  const rest = x.shape.slice(batch + depth);
  const numbers = blockNumbers(c, x.shape, indices, batch);
  const each = elementCount(numbers.shape) / groups;
  const starts = Array.from({ length: groups * each }, (_, i) => Math.floor(i / each) * blocks);
  const shifted = groups === 1 ? numbers : c.binary("ADD", numbers, c.full("int32", numbers.shape, starts));
  const flat = c.reshape(x, [groups * blocks, ...rest]);
  c.give(0, c.gather(flat, shifted, 0));
}

const neutral = (reduction: string, x: Val): number => {
  if (reduction === "add") return 0;
  if (reduction === "mul") return 1;
  const [low, high] = isFloat(x.dtype) ? [-Infinity, Infinity] : integerRange(x.dtype)!.map(Number);
  return reduction === "max" ? low! : high!;
};

const combining = {
  add: ["SUM", "ADD"],
  mul: ["REDUCE_PROD", "MUL"],
  max: ["REDUCE_MAX", "MAXIMUM"],
  min: ["REDUCE_MIN", "MINIMUM"],
} as const;

/**
 * Rows [blocks, width] with updates [count, width] at the rows that `numbers` [count] names. A reduction goes over all
 * updates for each row, so that rows may be named several times.
 */
function scattered(c: Context, given: Val, numbers: Val, updates: Val, reduction: string): Val {
  const [blocks, width] = given.shape as [number, number];
  const count = numbers.shape[0]!;
  if (reduction !== "none") {
    const codes = combining[reduction as keyof typeof combining] ?? refuse(`its reduction is ${reduction}`);
    if (blocks * width * count > 1 << 22) refuse("it combines too many updates with too many elements");
    const places = c.full(
      "int32",
      [1, blocks],
      Array.from({ length: blocks }, (_, i) => i),
    );
    const hit = c.binary("EQUAL", c.reshape(numbers, [count, 1]), places, "bool");
    const nothing = c.scalar(neutral(reduction, given), given);
    const all = c.select(c.reshape(hit, [count, blocks, 1]), c.reshape(updates, [count, 1, width]), nothing);
    return c.binary(codes[1], given, c.reduce(codes[0], all, [0], false));
  }
  const at = c.reshape(numbers, [count, 1]);
  const put = (v: Val, shape: readonly number[]) =>
    c.add("SCATTER_ND", [at, v, c.ints(shape)], { shape, dtype: v.dtype });
  const marks = put(c.full("int32", [count], 1), [blocks]);
  const isHit = c.binary("GREATER", marks, c.scalar(0, marks), "bool");
  return c.select(c.reshape(isHit, [blocks, 1]), put(updates, [blocks, width]), given);
}

const scatterTypes = ["float32", "int32", "int64"] as const;

function scatterElements(c: Context) {
  const x = c.in(0);
  const axis = axisOf(c.int("axis", 0), x.shape.length);
  const wide = widened(c, x, scatterTypes);
  const numbers = elementNumbers(c, x, c.in(1), axis);
  const count = elementCount(numbers.shape);
  const flat = (v: Val, n: number) => c.reshape(widened(c, v, scatterTypes), [n, 1]);
  const result = scattered(
    c,
    flat(wide, elementCount(x.shape)),
    c.reshape(numbers, [count]),
    flat(c.in(2), count),
    c.text("reduction", "none"),
  );
  c.give(0, c.cast(c.reshape(result, x.shape), x.dtype));
}

function scatterND(c: Context) {
  const [x, indices] = [c.in(0), c.in(1)];
  const depth = indices.shape.at(-1)!;
  const blocks = elementCount(x.shape.slice(0, depth));
  const width = elementCount(x.shape.slice(depth));
  const numbers = blockNumbers(c, x.shape, indices, 0);
  const count = elementCount(numbers.shape);
  const result = scattered(
    c,
    c.reshape(widened(c, x, scatterTypes), [blocks, width]),
    c.reshape(numbers, [count]),
    c.reshape(widened(c, c.in(2), scatterTypes), [count, width]),
    c.text("reduction", "none"),
  );
  c.give(0, c.cast(c.reshape(result, x.shape), x.dtype));
}

function oneHot(c: Context) {
  const [indices, values] = [c.in(0), c.in(2)];
  const [depth] = c.constants(1, "depth") as [number];
  const rank = indices.shape.length + 1;
  const axis = axisOf(c.int("axis", -1), rank);
  const index = c.cast(indices, "int32");
  const below = c.binary("LESS", index, c.scalar(0, index), "bool");
  const whole = c.select(below, c.binary("ADD", index, c.scalar(depth, index)), index);
  const shape = [...indices.shape];
  shape.splice(axis, 0, 1);
  const places = Array.from({ length: rank }, (_, i) => (i === axis ? depth : 1));
  const numbers = Array.from({ length: depth }, (_, i) => i);
  const isHot = c.binary("EQUAL", c.reshape(whole, shape), c.full("int32", places, numbers), "bool");
  const pick = (i: number) => c.reshape(c.part(values, 0, i, 1), []);
  c.give(0, c.select(isHot, pick(1), pick(0)));
}

function maxUnpool(c: Context) {
  const [x, indices] = [c.in(0), c.in(1)];
  const shape = c.maybe(2) ? c.constants(2, "output_shape") : (c.inferred(0) ?? refuse("its shape is not known"));
  const count = elementCount(x.shape);
  const size = elementCount(shape);
  const kernel = c.intList("kernel_shape")!;
  const strides = c.intList("strides") ?? kernel.map(() => 1);
  const pads = c.intList("pads") ?? [...kernel, ...kernel].map(() => 0);
  // Indices are numbers in the shape that follows from the window; another one is larger at its ends.
  const inner = [
    ...x.shape.slice(0, 2),
    ...kernel.map((k, i) => (x.shape[i + 2]! - 1) * strides[i]! + k - pads[i]! - pads[kernel.length + i]!),
  ];
  const at = c.reshape(c.cast(indices, "int32"), [count, 1]);
  const total = elementCount(inner);
  const flat = c.add("SCATTER_ND", [at, c.reshape(x, [count]), c.ints([total])], { shape: [total], dtype: x.dtype });
  const whole = c.reshape(flat, inner);
  c.give(
    0,
    total === size
      ? c.reshape(whole, shape)
      : c.pad(
          whole,
          inner.map(() => 0),
          inner.map((d, i) => shape[i]! - d),
        ),
  );
}

export const gathers: Lowerings = {
  Compress: compress,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  ScatterElements: scatterElements,
  ScatterND: scatterND,
  OneHot: oneHot,
  MaxUnpool: maxUnpool,
};
