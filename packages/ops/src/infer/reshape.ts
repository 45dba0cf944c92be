import { type Dim, intsAttribute } from "@pare/core";
import { floorDiv, max, mul, productOf, sub } from "./dims.ts";
import {
  axesOf,
  axisOf,
  broadcast,
  type Call,
  int,
  isGiven,
  isNumbers,
  numbersAt,
  replaced,
  type Shape,
  type ShapeRules,
  shapeAt,
  unknown,
  valuesAt,
} from "./rule.ts";

/** Operators that see the elements of a tensor in another shape, or more of them. */
export const reshapes: ShapeRules = {
  Reshape: (c) => [reshape(c)],
  Flatten(c) {
    const shape = shapeAt(c, 0);
    if (!shape) return [[null, null]];
    const given = int(c, "axis", 1);
    const axis = given === shape.length ? given : axisOf(given, shape.length);
    return [axis === undefined ? [null, null] : [productOf(shape.slice(0, axis)), productOf(shape.slice(axis))]];
  },
  Squeeze(c) {
    const shape = shapeAt(c, 0);
    if (!shape) return [];
    if (!isGiven(c, 1)) return [isNumbers(shape) ? shape.filter((d) => d !== 1) : undefined];
    const given = numbersAt(c, 1);
    const count = shapeAt(c, 1)?.[0];
    if (!given) return [typeof count === "number" ? unknown(shape.length - count) : undefined];
    const axes = axesOf(given, shape.length);
    return [axes && shape.filter((_, i) => !axes.includes(i))];
  },
  Unsqueeze(c) {
    const shape = shapeAt(c, 0);
    const given = numbersAt(c, 1);
    const count = given?.length ?? shapeAt(c, 1)?.[0];
    if (!shape || typeof count !== "number") return [];
    const axes = given && axesOf(given, shape.length + count);
    if (!axes) return [unknown(shape.length + count)];
    const rest = [...shape];
    return [Array.from({ length: shape.length + count }, (_, i) => (axes.includes(i) ? 1 : (rest.shift() ?? null)))];
  },
  Transpose(c) {
    const shape = shapeAt(c, 0);
    const perm = intsAttribute(c.node, "perm");
    if (!shape) return [unknown(perm?.length)];
    const order = perm ? axesOf(perm, shape.length) : shape.map((_, i) => shape.length - 1 - i);
    return [order?.length === shape.length ? order.map((i) => shape[i]!) : undefined];
  },
  Expand(c) {
    const shape = shapeAt(c, 0);
    const to = valuesAt(c, 1) ?? unknown(shapeAt(c, 1)?.[0]);
    return [broadcast([shape, to])];
  },
  Tile(c) {
    const shape = shapeAt(c, 0);
    const repeats = valuesAt(c, 1);
    return [shape ? shape.map((d, i) => mul(d, repeats?.[i] ?? null)) : unknown(repeats?.length ?? shapeAt(c, 1)?.[0])];
  },
  DepthToSpace(c) {
    const [shape, block] = [shapeAt(c, 0), int(c, "blocksize", 0)];
    if (shape?.length !== 4) return [unknown(4)];
    const [n, ch, h, w] = shape as [Dim, Dim, Dim, Dim];
    return [[n, floorDiv(ch, block * block), mul(h, block), mul(w, block)]];
  },
  SpaceToDepth(c) {
    const [shape, block] = [shapeAt(c, 0), int(c, "blocksize", 0)];
    if (shape?.length !== 4) return [unknown(4)];
    const [n, ch, h, w] = shape as [Dim, Dim, Dim, Dim];
    return [[n, mul(ch, block * block), floorDiv(h, block), floorDiv(w, block)]];
  },
  Pad(c) {
    const shape = shapeAt(c, 0);
    if (!shape) return [];
    const axes = isGiven(c, 3) ? numbersAt(c, 3) : shape.map((_, i) => i);
    const found = axes && axesOf(axes, shape.length);
    if (!found) return [unknown(shape.length)];
    const pads = valuesAt(c, 1);
    const changes = found.map((axis, i) => {
      const [begin, end] = [pads?.[i] ?? null, pads?.[i + found.length] ?? null];
      const size = shape[axis]!;
      return [axis, begin === null || end === null ? null : sub(size, sub(mul(begin, -1), end))] as const;
    });
    return [replaced(shape, ...changes)];
  },
  CenterCropPad(c) {
    const shape = shapeAt(c, 0);
    const to = valuesAt(c, 1);
    const axes = shape && axesOf(intsAttribute(c.node, "axes") ?? shape.map((_, i) => i), shape.length);
    return [axes ? replaced(shape, ...axes.map((a, i) => [a, to?.[i] ?? null] as const)) : unknown(shape?.length)];
  },
};

function reshape(c: Call): Shape {
  const data = shapeAt(c, 0);
  const target = valuesAt(c, 1);
  if (!target) return unknown(shapeAt(c, 1)?.[0]);
  const copies = int(c, "allowzero", 0) === 0;
  const isCopy = (d: Dim) => copies && d === 0;
  const out = target.map((d, i): Dim => (d === -1 ? null : isCopy(d) ? (data?.[i] ?? null) : d));
  const open = target.flatMap((d, i) => (d === -1 || d === null ? [i] : []));
  // As many elements as before; what was copied is on both sides, known or not.
  if (data && open.length === 1) {
    const left = data.filter((_, i) => !isCopy(target[i] ?? null));
    const right = target.filter((d) => d !== -1 && d !== null && !isCopy(d));
    out[open[0]!] = floorDiv(productOf(left), productOf(right));
  }
  return out.map((d) => (typeof d === "number" ? max(d, 0) : d));
}
