import { attribute, type Dim } from "@pare/core";
import { add, ceilDiv, clamp, isNatural, max, mul, sub, sumOf } from "./dims.ts";
import {
  axesOf,
  axisAt,
  type Call,
  int,
  isGiven,
  numbersAt,
  replaced,
  type Shape,
  type ShapeRules,
  same,
  shapeAt,
  unknown,
  valuesAt,
} from "./rule.ts";

/** Operators that take parts of tensors or put them together. */
export const selections: ShapeRules = {
  Concat(c) {
    const shapes = c.inputs.map((f) => f?.shape);
    const known = shapes.find((s) => s !== undefined);
    const axis = axisAt(c, known);
    if (axis === undefined) return [];
    return [
      known!.map((_, i) => {
        const dims = shapes.map((s) => s?.[i] ?? null);
        return i === axis ? sumOf(dims) : dims.reduce(same);
      }),
    ];
  },
  Split(c) {
    const shape = shapeAt(c, 0);
    const count = c.node.outputs.length;
    const axis = axisAt(c, shape);
    if (axis === undefined) return [];
    return splitSizes(c, shape![axis]!, count).map((d) => replaced(shape!, [axis, d]));
  },
  Slice: (c) => [slice(c)],
  Gather(c) {
    const [data, indices] = [shapeAt(c, 0), shapeAt(c, 1)];
    const axis = axisAt(c, data);
    return [
      axis !== undefined && indices ? [...data!.slice(0, axis), ...indices, ...data!.slice(axis + 1)] : undefined,
    ];
  },
  GatherElements: (c) => [shapeAt(c, 1) ?? unknown(shapeAt(c, 0)?.length)],
  GatherND(c) {
    const [data, indices] = [shapeAt(c, 0), shapeAt(c, 1)];
    const depth = indices?.at(-1);
    if (!data || !indices || typeof depth !== "number") return [];
    return [[...indices.slice(0, -1), ...data.slice(int(c, "batch_dims", 0) + depth)]];
  },
  Compress(c) {
    const shape = shapeAt(c, 0);
    if (attribute(c.node, "axis", "int") === undefined) return [[null]];
    const axis = axisAt(c, shape);
    return [axis === undefined ? undefined : replaced(shape!, [axis, null])];
  },
};

function splitSizes(c: Call, size: Dim, count: number): readonly Dim[] {
  if (isGiven(c, 1)) return Array.from({ length: count }, (_, i) => valuesAt(c, 1)?.[i] ?? null);
  // Parts of one size, the last one what is left.
  const parts = int(c, "num_outputs", count);
  const each = ceilDiv(size, parts);
  return Array.from({ length: count }, (_, i) => (i < parts - 1 ? each : sub(size, mul(each, parts - 1))));
}

/** `starts`, `ends`, `steps` for each axis of the data; undefined where the axes are not known. */
export function slices(
  c: Call,
  rank: number,
): ReadonlyMap<number, readonly [start: Dim, end: Dim, step: Dim]> | undefined {
  const starts = valuesAt(c, 1);
  const count = starts?.length ?? shapeAt(c, 1)?.[0] ?? shapeAt(c, 2)?.[0];
  if (typeof count !== "number") return undefined;
  const given = isGiven(c, 3) ? numbersAt(c, 3) : Array.from({ length: Math.min(count, rank) }, (_, i) => i);
  const axes = given && axesOf(given, rank);
  const [ends, steps] = [valuesAt(c, 2), valuesAt(c, 4)];
  return (
    axes &&
    new Map(axes.map((a, i) => [a, [starts?.[i] ?? null, ends?.[i] ?? null, isGiven(c, 4) ? (steps?.[i] ?? null) : 1]]))
  );
}

function slice(c: Call): Shape {
  const shape = shapeAt(c, 0);
  const cuts = shape && slices(c, shape.length);
  return cuts ? shape.map((d, i) => (cuts.has(i) ? cutLength(d, ...cuts.get(i)!) : d)) : unknown(shape?.length);
}

/** Numbers from here on mean the end. */
const FAR = 2 ** 31 - 1;

/** A start or end counted from the front and put inside, or null where that is not known. */
export function cutAt(at: Dim, size: Dim, low: number, high: Dim): Dim {
  if (typeof at === "number") {
    if (at >= FAR) return high;
    if (at <= -FAR) return low;
    return clamp(at < 0 ? add(size, at) : at, low, high);
  }
  if (isNatural(at)) return clamp(at, low, high);
  return at !== null && isNatural(sub(-1, at)) ? clamp(add(size, at), low, high) : null;
}

function cutLength(size: Dim, start: Dim, end: Dim, step: Dim): Dim {
  if (typeof step !== "number" || step === 0 || size === null) return null;
  const [low, high] = step > 0 ? [0, size] : [-1, sub(size, 1)];
  const from = step > 0 ? cutAt(start, size, 0, size) : cutAt(start, size, 0, high);
  const to = cutAt(end, size, low, high);
  const length = step > 0 ? sub(to, from) : sub(from, to);
  return max(0, ceilDiv(length, Math.min(Math.abs(step), FAR)));
}
