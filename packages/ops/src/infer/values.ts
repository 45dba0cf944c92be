import { attribute, type Dim, type DType, isFloat, type ResidentTensor, storageView, type Tensor } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { add, compare, floorDiv, isNatural, max, min, mul, productOf, sub } from "./dims.ts";
import { shapeRange } from "./make.ts";
import { reducedAxes } from "./reduce.ts";
import {
  type Call,
  type Fact,
  int,
  isNumbers,
  MOST_VALUES,
  numbersAt,
  type Shape,
  shapeAt,
  type ValueRule,
  type ValueRules,
  valuesAt,
} from "./rule.ts";
import { moved } from "./values-moved.ts";

type Binary = (a: Dim, b: Dim, dtype: DType | undefined) => Dim;

/** Of floats there are only scales and the like to follow. */
const MOST_FLOATS = 64;

/** A number as the element type holds it; null where it does not. */
function stored(v: Dim, dtype: DType | undefined): Dim {
  if (typeof v !== "number" || dtype === undefined) return v;
  if (dtype === "float32") return Math.fround(v);
  if (dtype === "float64") return v;
  if (dtype === "bool") return v === 0 ? 0 : 1;
  const whole = Math.trunc(v);
  const bits = /^u?int(\d+)$/.exec(dtype)?.[1];
  if (bits === undefined) return null;
  const [low, high] = dtype.startsWith("u")
    ? [0, 2 ** Number(bits)]
    : [-(2 ** (Number(bits) - 1)), 2 ** (Number(bits) - 1)];
  return whole >= low && whole <= high ? whole : null;
}

const isExact = (v: Dim) => typeof v !== "number" || Math.abs(v) <= Number.MAX_SAFE_INTEGER;

/** Element by element; shapes broadcast. */
const binary =
  (f: Binary): ValueRule =>
  (c, shape) => {
    const both = c.inputs.map((i) => i?.values);
    const shapes = c.inputs.map((i) => i?.shape);
    const [first] = c.inputs;
    if (!both[0] || both.some((v) => v === undefined)) return [];
    const expanded = both.map((v, i) => moved(v!, shapes[i], shape, "broadcast"));
    if (expanded.some((v) => v === undefined)) return [];
    return [
      expanded[0]!.map((_, i) =>
        expanded
          .map((v): Dim => v![i] ?? null)
          .reduce((a, b) => (isExact(a) && isExact(b) ? stored(f(a, b, first?.dtype), first?.dtype) : null)),
      ),
    ];
  };

const logical = (f: (a: Dim, b: Dim) => boolean | undefined): ValueRule =>
  binary((a, b) => {
    const result = f(a, b);
    return result === undefined ? null : Number(result);
  });

const ordered = (f: (sign: number) => boolean) =>
  logical((a, b) => {
    const sign = compare(a, b);
    return sign === undefined ? undefined : f(sign);
  });

const divide: Binary = (a, b, dtype) => {
  if (typeof a === "number" && typeof b === "number") {
    if (b === 0) return null;
    return dtype && isFloat(dtype) ? a / b : Math.trunc(a / b);
  }
  if (dtype && isFloat(dtype)) {
    const quotient = floorDiv(a, b);
    return mul(quotient, b) === a ? quotient : null;
  }
  return isNatural(a) && isNatural(b) ? floorDiv(a, b) : null;
};

const modulo: Binary = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return b === 0 ? null : a - b * Math.floor(a / b);
  return isNatural(a) && isNatural(b) ? sub(a, mul(b, floorDiv(a, b))) : null;
};

const unary =
  (f: (v: Dim) => Dim): ValueRule =>
  (c) => [valuesAt(c, 0)?.map((v) => (isExact(v) ? f(v) : null))];

/** Rounding, which expressions need not. */
const rounding = (f: (v: number) => number) => unary((v) => (typeof v === "number" ? f(v) : v));

const same: ValueRule = (c) => [valuesAt(c, 0)];

const move =
  (how: Parameters<typeof moved>[3]): ValueRule =>
  (c, shape) => {
    const values = valuesAt(c, 0);
    return [values && moved(values, shapeAt(c, 0), shape, how, c)];
  };

const reduction =
  (f: (a: Dim, b: Dim) => Dim): ValueRule =>
  (c) => {
    const [values, shape] = [valuesAt(c, 0), shapeAt(c, 0)];
    if (!values?.length || !shape) return [];
    const axes = reducedAxes(c, shape.length);
    if (axes?.length === 0) return [values];
    return [axes?.length === shape.length && values.every(isExact) ? [values.reduce(f)] : undefined];
  };

/** What operators on shapes make of their elements. */
export const valueRules: ValueRules = {
  Shape(c) {
    const shape = shapeAt(c, 0);
    return [shape?.slice(...shapeRange(c, shape.length))];
  },
  Size: (c) => [shapeAt(c, 0) && [productOf(shapeAt(c, 0)!)]],
  Identity: same,
  Reshape: same,
  Flatten: same,
  Squeeze: same,
  Unsqueeze: same,
  Cast: (c) => [castTo(c, dtypeOf(int(c, "to", 0)))],
  CastLike: (c) => [castTo(c, c.inputs[1]?.dtype)],
  Add: binary(add),
  Sub: binary(sub),
  Mul: binary((a, b) => (typeof a === "number" && typeof b === "number" ? a * b : mul(a, b))),
  Div: binary(divide),
  Mod: (c, shape) => (int(c, "fmod", 0) ? [] : binary(modulo)(c, shape)),
  Max: binary(max),
  Min: binary(min),
  Sum: binary(add),
  Neg: unary((v) => sub(0, v)),
  Abs: unary((v) => (typeof v === "number" ? Math.abs(v) : isNatural(v) ? v : null)),
  Sqrt: (c) => [
    valuesAt(c, 0)?.map((v) =>
      typeof v === "number" ? stored(v < 0 ? null : Math.sqrt(v), c.inputs[0]?.dtype) : null,
    ),
  ],
  Ceil: rounding(Math.ceil),
  Floor: rounding(Math.floor),
  Round: rounding((v) => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v))),
  Equal: ordered((sign) => sign === 0),
  Less: ordered((sign) => sign < 0),
  LessOrEqual: ordered((sign) => sign <= 0),
  Greater: ordered((sign) => sign > 0),
  GreaterOrEqual: ordered((sign) => sign >= 0),
  And: logical((a, b) => (a === 0 || b === 0 ? false : a === null || b === null ? undefined : true)),
  Or: logical((a, b) => (a === 1 || b === 1 ? true : a === null || b === null ? undefined : false)),
  Not: unary((v) => (v === null ? null : v === 0 ? 1 : 0)),
  Where(c, shape) {
    const [condition, x, y] = [0, 1, 2].map((i) => {
      const values = valuesAt(c, i);
      return values && moved(values, shapeAt(c, i), shape, "broadcast");
    });
    if (!condition || !x || !y) return [];
    return [condition.map((v, i) => (v === null ? (x[i] === y[i] ? x[i]! : null) : v === 0 ? y[i]! : x[i]!))];
  },
  ReduceProd: reduction(mul),
  ReduceSum: reduction(add),
  ReduceMax: reduction(max),
  ReduceMin: reduction(min),
  Range(c, shape) {
    const count = shape?.[0];
    const [start, , delta] = [0, 1, 2].map((i) => valuesAt(c, i)?.[0] ?? null) as [Dim, Dim, Dim];
    if (typeof count !== "number" || count > MOST_VALUES) return [];
    return [Array.from({ length: count }, (_, i) => stored(add(start, mul(delta, i)), c.inputs[0]?.dtype))];
  },
  ConstantOfShape(c, shape) {
    const fill = attribute(c.node, "value", "tensor");
    const value = fill ? constantValues(fill)?.[0] : 0;
    const count = shape && isNumbers(shape) ? shape.reduce((n, d) => n * d, 1) : Number.POSITIVE_INFINITY;
    return [value === undefined || count > MOST_VALUES ? undefined : new Array<Dim>(count).fill(value)];
  },
  NonZero(c) {
    const values = numbersAt(c, 0);
    return [values && shapeAt(c, 0)?.length === 1 ? values.flatMap((v, i) => (v === 0 ? [] : [i])) : undefined];
  },
  Concat(c, shape) {
    const parts = c.inputs.map((f) => f?.values ?? unknownValues(f?.shape));
    if (parts.some((p) => p === undefined)) return [];
    const joined = parts.flatMap((p) => p!);
    // Rows one after the other; other axes would interleave them.
    const first = c.inputs[0]?.shape;
    const axis = int(c, "axis", 0);
    const leading = first?.slice(0, axis < 0 ? axis + first.length : axis);
    return [shape && leading?.every((d) => d === 1) ? joined : undefined];
  },
  Split(c) {
    const [values, shape] = [valuesAt(c, 0), shapeAt(c, 0)];
    const sizes = c.node.outputs.map((_, i) => partSize(c, i));
    if (!values || shape?.length !== 1 || sizes.some((s) => s === undefined)) return [];
    let at = 0;
    return sizes.map((size) => values.slice(at, (at += size!)));
  },
  Expand: move("broadcast"),
  Transpose: move("transpose"),
  Slice: move("slice"),
  Gather: move("gather"),
  Tile: move("tile"),
  ScatterElements: scatter,
  ScatterND: scatter,
};

const unknownValues = (shape: Shape): readonly Dim[] | undefined => {
  const count = shape && isNumbers(shape) ? shape.reduce((n, d) => n * d, 1) : undefined;
  return count !== undefined && count <= MOST_VALUES ? new Array<null>(count).fill(null) : undefined;
};

function partSize(c: Call, index: number): number | undefined {
  const given = numbersAt(c, 1);
  if (given) return given[index];
  const size = shapeAt(c, 0)?.[0];
  const parts = int(c, "num_outputs", c.node.outputs.length);
  return c.node.inputs[1] || typeof size !== "number" ? undefined : Math.ceil(size / parts);
}

function castTo(c: Call, to: DType | undefined): readonly Dim[] | undefined {
  return to && valuesAt(c, 0)?.map((v) => (to === "bool" && typeof v === "string" ? null : stored(v, to)));
}

/** Elements of a vector put in the place of others. */
function scatter(c: Call): readonly (readonly Dim[] | undefined)[] {
  const [data, updates] = [valuesAt(c, 0), valuesAt(c, 2)];
  const indices = numbersAt(c, 1);
  const replaces = String(attribute(c.node, "reduction", "string") ?? "none") === "none";
  if (!data || !updates || !indices || shapeAt(c, 0)?.length !== 1 || !replaces || indices.length !== updates.length)
    return [];
  const out = [...data];
  for (const [i, at] of indices.entries()) out[at < 0 ? at + out.length : at] = updates[i]!;
  return [out.length === data.length ? out : undefined];
}

/** The elements of a small constant of integers or floats. */
export function constantValues(t: Tensor): readonly number[] | undefined {
  const { bytes } = t as ResidentTensor;
  const count = t.shape.reduce((n, d) => n * d, 1);
  if (
    !bytes ||
    count > (isFloat(t.dtype) ? MOST_FLOATS : MOST_VALUES) ||
    !/^(u?int(8|16|32|64)|bool|float32|float64)$/.test(t.dtype)
  )
    return undefined;
  return Array.from(storageView(t.dtype, bytes) as Iterable<number | bigint>, Number);
}

const constantFacts = new WeakMap<Tensor, Fact>();

/** A constant as a fact, always the same one; its elements are read when a rule asks. */
export function constantFact(t: Tensor): Fact {
  let fact = constantFacts.get(t);
  if (!fact) constantFacts.set(t, (fact = lazyFact(t)));
  return fact;
}

function lazyFact(t: Tensor): Fact {
  let values: readonly Dim[] | undefined;
  let isRead = false;
  return {
    dtype: t.dtype,
    shape: t.shape,
    get values() {
      if (!isRead) values = constantValues(t);
      isRead = true;
      return values;
    },
  };
}
