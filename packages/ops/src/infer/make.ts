import { attribute, constantNodeValue, type Dim, intsAttribute } from "@pare/core";
import { add, ceilDiv, floorDiv, max, sub } from "./dims.ts";
import {
  axisOf,
  type Call,
  int,
  isGiven,
  numbersAt,
  replaced,
  type Shape,
  type ShapeRule,
  type ShapeRules,
  shapeAt,
  unknown,
  valuesAt,
} from "./rule.ts";

const fromAttribute: ShapeRule = (c) => [intsAttribute(c.node, "shape")];
const windowFunction: ShapeRule = (c) => [[valuesAt(c, 0)?.[0] ?? null]];

/** Operators that make tensors from shapes, sizes and attributes, and what fits nowhere else. */
export const makers: ShapeRules = {
  RandomNormal: fromAttribute,
  RandomUniform: fromAttribute,
  BlackmanWindow: windowFunction,
  HammingWindow: windowFunction,
  HannWindow: windowFunction,
  Constant: (c) => [constantShape(c)],
  ConstantOfShape: (c) => [valuesAt(c, 0) ?? unknown(shapeAt(c, 0)?.[0])],
  Shape(c) {
    const rank = shapeAt(c, 0)?.length;
    if (rank === undefined) return [[null]];
    const [start, end] = shapeRange(c, rank);
    return [[Math.max(end - start, 0)]];
  },
  Size: () => [[]],
  NonZero(c) {
    const rank = shapeAt(c, 0)?.length;
    const values = numbersAt(c, 0);
    return [[rank ?? null, values ? values.filter((v) => v !== 0).length : null]];
  },
  OneHot(c) {
    const shape = shapeAt(c, 0);
    const axis = shape && axisOf(int(c, "axis", -1), shape.length + 1);
    return [
      axis === undefined ? undefined : [...shape!.slice(0, axis), valuesAt(c, 1)?.[0] ?? null, ...shape!.slice(axis)],
    ];
  },
  Range(c) {
    const [start, limit, delta] = [0, 1, 2].map((i) => valuesAt(c, i)?.[0] ?? null) as [Dim, Dim, Dim];
    if (typeof start === "number" && typeof limit === "number" && typeof delta === "number") {
      const count = Math.max(Math.ceil((limit - start) / delta), 0);
      return [[Number.isSafeInteger(count) ? count : null]];
    }
    return [[typeof delta === "number" && delta > 0 ? max(ceilDiv(sub(limit, start), delta), 0) : null]];
  },
  NonMaxSuppression: () => [[null, 3]],
  ImageDecoder: (c) => [[null, null, String(attribute(c.node, "pixel_format", "string")) === "Grayscale" ? 1 : 3]],
  MelWeightMatrix(c) {
    return [[add(floorDiv(valuesAt(c, 1)?.[0] ?? null, 2), 1), valuesAt(c, 0)?.[0] ?? null]];
  },
  DFT(c) {
    const shape = shapeAt(c, 0);
    if (!shape) return [];
    const given = isGiven(c, 2) ? valuesAt(c, 2)?.[0] : -2;
    const axis = typeof given === "number" ? axisOf(given, shape.length) : undefined;
    const inverse = int(c, "inverse", 0) !== 0;
    const oneSided = int(c, "onesided", 0) !== 0;
    const last = shape.length - 1;
    const parts = oneSided && inverse ? 1 : 2;
    // Without a length of its own and both sides, no axis changes.
    if (axis === undefined) return [replaced(oneSided || isGiven(c, 1) ? shape.map(() => null) : shape, [last, parts])];
    const length = isGiven(c, 1)
      ? (valuesAt(c, 1)?.[0] ?? null)
      : oneSided && inverse
        ? twice(shape[axis]!)
        : shape[axis]!;
    return [replaced(shape, [axis, oneSided && !inverse ? add(floorDiv(length, 2), 1) : length], [last, parts])];
  },
  STFT(c) {
    const signal = shapeAt(c, 0);
    const length = isGiven(c, 3) ? (valuesAt(c, 3)?.[0] ?? null) : (shapeAt(c, 2)?.[0] ?? null);
    const frames = add(floorDiv(sub(signal?.[1] ?? null, length), valuesAt(c, 1)?.[0] ?? null), 1);
    const bins = int(c, "onesided", 1) !== 0 ? add(floorDiv(length, 2), 1) : length;
    return [[signal?.[0] ?? null, frames, bins, 2]];
  },
  TfIdfVectorizer(c) {
    const shape = shapeAt(c, 0);
    const indexes = intsAttribute(c.node, "ngram_indexes");
    const size = indexes?.length ? indexes.reduce((a, b) => Math.max(a, b)) + 1 : null;
    return [shape && [...shape.slice(0, -1), size]];
  },
  StringNormalizer(c) {
    const shape = shapeAt(c, 0);
    return [
      shape?.map((d, i) =>
        i === shape.length - 1 && (attribute(c.node, "stopwords", "strings")?.length ?? 0) > 0 ? null : d,
      ),
    ];
  },
  StringSplit(c) {
    const shape = shapeAt(c, 0);
    return [shape && [...shape, null], shape];
  },
  SequenceLength: () => [[]],
  OptionalHasElement: () => [[]],
};

const twice = (d: Dim): Dim => (d === null ? null : add(sub(d, 1), sub(d, 1)));

/** The dimensions that `Shape` gives, of so many. */
export function shapeRange(c: Call, rank: number): readonly [start: number, end: number] {
  const inside = (at: number) => Math.min(Math.max(at < 0 ? at + rank : at, 0), rank);
  return [inside(int(c, "start", 0)), inside(int(c, "end", rank))];
}

function constantShape(c: Call): Shape {
  const { node } = c;
  const texts = attribute(node, "value_strings", "strings");
  return (
    constantNodeValue(node)?.shape ??
    attribute(node, "sparse_value", "sparse")?.shape ??
    (texts ? [texts.length] : node.attributes.has("value_string") ? [] : undefined)
  );
}
