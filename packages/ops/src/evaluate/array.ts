import { type DType, elementCount, failure, type ResidentTensor, storageView, tensor } from "@pare/core";
import { numbersOf as elementsOf, tensorOf } from "../numeric/convert.ts";

/**
 * An array of the evaluator: numbers as float64, 64-bit integers as bigints, both exact. Row major.
 */
export interface Nd {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array | Wide;
}

/** 64-bit integers. */
export type Wide = BigInt64Array | BigUint64Array;
export const isWideData = (data: Float64Array | Wide): data is Wide => !(data instanceof Float64Array);

/** Most elements that one result may have: 2^23. */
export const ELEMENT_LIMIT = 1 << 23;

/** Most axes that an array has, as in numpy. */
const RANK_LIMIT = 64;

/**
 * Refuses shapes that no array here has. One without elements may be no larger along its other axes than one with.
 * @throws PareError `ops/shape`, `ops/too-large`
 */
export function checkShape(shape: readonly number[]): void {
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0) || shape.length > RANK_LIMIT)
    throw failure("ops/shape", `[${shape.slice(0, RANK_LIMIT)}] is no shape`);
  if (!(elementCount(shape.map((d) => d || 1)) <= ELEMENT_LIMIT))
    throw failure("ops/too-large", `[${shape}] has more than ${ELEMENT_LIMIT} elements, the most that are evaluated`);
}

/** Element types whose values the evaluator knows. */
const known = new Set<DType>([
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "float8e8m0",
  "float4e2m1",
  "int4",
  "uint4",
  "int2",
  "uint2",
]);
export const isKnown = (dtype: DType): boolean => known.has(dtype);
export const isWide = (dtype: DType): boolean => dtype === "int64" || dtype === "uint64";

/** @throws PareError `ops/shape`, `ops/too-large` */
export function newData(dtype: DType, shape: readonly number[]): Float64Array | Wide {
  checkShape(shape);
  const count = elementCount(shape);
  if (dtype === "uint64") return new BigUint64Array(count);
  return dtype === "int64" ? new BigInt64Array(count) : new Float64Array(count);
}

/** Numbers as 64-bit integers, cut at the point; of one out of range the low bits. */
export function wideOf(dtype: DType, values: ArrayLike<number | bigint>): Wide {
  const data = dtype === "uint64" ? new BigUint64Array(values.length) : new BigInt64Array(values.length);
  for (let i = 0; i < data.length; i++) {
    const v = values[i]!;
    data[i] = typeof v === "bigint" ? v : BigInt(Number.isFinite(v) ? Math.trunc(v) : 0);
  }
  return data;
}

/** An array of numbers; 64-bit integers are made of them exactly. */
export function nd(dtype: DType, shape: readonly number[], numbers: ArrayLike<number | bigint>): Nd {
  const data = newData(dtype, shape);
  if (isWideData(data)) for (let i = 0; i < data.length; i++) data[i] = BigInt(numbers[i]!);
  else for (let i = 0; i < data.length; i++) data[i] = Number(numbers[i]!);
  return { dtype, shape, data };
}

/** An array with the same elements in another shape. */
export const reshaped = (a: Nd, shape: readonly number[]): Nd => ({ ...a, shape });

/** Its elements as numbers. */
export const numbersOf = (a: Nd): Float64Array =>
  a.data instanceof Float64Array ? a.data : Float64Array.from(a.data, Number);

export function fromTensor(t: ResidentTensor): Nd {
  const { dtype, shape } = t;
  if (dtype === "int64") return { dtype, shape, data: storageView("int64", t.bytes) };
  if (dtype === "uint64") return { dtype, shape, data: storageView("uint64", t.bytes) };
  return { dtype, shape, data: elementsOf(t) };
}

/** Rounds to the element type, once: floats to nearest, ties to even; integers keep the low bits. */
export function toTensor(a: Nd): ResidentTensor {
  const { dtype, shape, data } = a;
  return isWideData(data) ? tensor(dtype, shape, data) : tensorOf(dtype, shape, data, false);
}

/** Elements to skip for one step along each axis. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

/** The shape that shapes have together by numpy's rules. @throws PareError `ops/broadcast` */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const shape of shapes) {
      const d = shape[axis - rank + shape.length] ?? 1;
      if (d !== 1 && size !== 1 && d !== size)
        throw failure("ops/broadcast", `the shapes ${shapes.map((s) => `[${s}]`).join(" and ")} do not go together`);
      if (d !== 1) size = d;
    }
    return size;
  });
}

/** Calls `visit` for every index of a shape, with its position in row-major order. */
export function eachIndex(shape: readonly number[], visit: (index: readonly number[], flat: number) => void): void {
  const index = new Array<number>(shape.length).fill(0);
  const count = elementCount(shape);
  for (let flat = 0; flat < count; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** Positions in `from` of the elements of `to`, to which `from` is broadcast. @throws PareError `ops/broadcast` */
export function broadcastPositions(from: readonly number[], to: readonly number[]): Int32Array {
  const fits = from.length <= to.length && from.every((d, i) => d === 1 || d === to[i + to.length - from.length]);
  if (!fits) throw failure("ops/broadcast", `the shape [${from}] does not go into [${to}]`);
  checkShape(to);
  const strides = stridesOf(from);
  const steps = to.map((_, axis) => {
    const own = axis - to.length + from.length;
    return own < 0 || from[own] === 1 ? 0 : strides[own]!;
  });
  const positions = new Int32Array(elementCount(to));
  eachIndex(to, (index, flat) => {
    let at = 0;
    for (let axis = 0; axis < index.length; axis++) at += index[axis]! * steps[axis]!;
    positions[flat] = at;
  });
  return positions;
}

/** An axis counted from the end where it is negative. @throws PareError `ops/axis` */
export function wholeAxis(axis: number, rank: number): number {
  const whole = axis < 0 ? axis + rank : axis;
  if (!(whole >= 0 && whole < rank)) throw failure("ops/axis", `axis ${axis} is not one of ${rank}`);
  return whole;
}

/** Elements of `a` at positions, in a new shape. */
export function gathered(a: Nd, shape: readonly number[], positions: ArrayLike<number>): Nd {
  const data = newData(a.dtype, shape);
  for (let i = 0; i < data.length; i++) {
    const v = a.data[positions[i]!];
    if (v === undefined) throw failure("ops/shape", `there is no element ${positions[i]} in [${a.shape}]`);
    data[i] = v;
  }
  return { dtype: a.dtype, shape, data };
}

/** One index of an axis, which goes. */
export function slice(x: Nd, axis: number, index: number): Nd {
  const shape = x.shape.filter((_, k) => k !== axis);
  checkShape(shape);
  const strides = stridesOf(x.shape);
  const positions = new Int32Array(elementCount(shape));
  const own = strides.filter((_, k) => k !== axis);
  eachIndex(shape, (at, flat) => {
    positions[flat] = at.reduce((sum, i, k) => sum + i * own[k]!, index * strides[axis]!);
  });
  return gathered(x, shape, positions);
}

/** Arrays of one shape along a new axis. */
export function stack(parts: readonly Nd[], axis: number): Nd {
  const [first] = parts;
  if (!first) throw failure("ops/empty", "a loop that never ran has results of no shape");
  const at = wholeAxis(axis, first.shape.length + 1);
  const shape = [...first.shape.slice(0, at), parts.length, ...first.shape.slice(at)];
  const data = newData(first.dtype, shape);
  const inner = elementCount(first.shape.slice(at));
  parts.forEach((part, i) => {
    if (String(part.shape) !== String(first.shape))
      throw failure("ops/shape", `[${part.shape}] cannot be stacked on [${first.shape}]`);
    for (let k = 0; k < part.data.length; k++)
      data[(Math.floor(k / inner) * parts.length + i) * inner + (k % inner)] = part.data[k]! as never;
  });
  return { dtype: first.dtype, shape, data };
}
