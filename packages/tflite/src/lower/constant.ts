import {
  computedTensor,
  type DType,
  dataOf,
  elementCount,
  resident,
  type StorageOf,
  type Tensor,
  tensor,
} from "@pare/core";
import type { TfliteTensor } from "../format/model.ts";

/** A list of integers as a constant of a graph. */
export const int32 = (name: string, values: readonly number[]): TfliteTensor => ({
  name,
  type: "INT32",
  shape: [values.length],
  has_rank: true,
  data: tensor("int32", [values.length], [...values]),
});

/**
 * A constant with its dimensions in another order, and those that are `flipped` from end to start; a large one is computed
 * when it is read.
 */
export function transposed(t: Tensor, perm: readonly number[], flipped: readonly number[] = []): Tensor {
  const shape = perm.map((axis) => t.shape[axis]!);
  if (t.bytes) return tensor(t.dtype, shape, moved(t.dtype, t.bytes, t.shape, perm, flipped));
  return computedTensor({
    dtype: t.dtype,
    shape,
    key:
      t.key === undefined ? undefined : `${t.key}|transposed:${perm}${flipped.length > 0 ? `|flipped:${flipped}` : ""}`,
    compute: async (signal) => moved(t.dtype, (await resident(t, signal)).bytes, t.shape, perm, flipped),
  });
}

function moved<D extends DType>(
  dtype: D,
  bytes: Uint8Array,
  shape: readonly number[],
  perm: readonly number[],
  flipped: readonly number[],
): StorageOf<D> {
  const from = dataOf(tensor(dtype, shape, bytes)) as unknown as Float32Array;
  const to = from.slice();
  const strides = stridesOf(shape);
  const dims = perm.map((axis) => shape[axis]!);
  const steps = perm.map((axis) => (flipped.includes(axis) ? -strides[axis]! : strides[axis]!));
  const rank = dims.length;
  const at = new Array<number>(rank).fill(0);
  const inner = rank > 0 ? dims[rank - 1]! : 1;
  const step = rank > 0 ? steps[rank - 1]! : 0;
  let base = flipped.reduce((start, axis) => start + (shape[axis]! - 1) * strides[axis]!, 0);
  for (let out = 0; out < to.length; ) {
    for (let i = 0, source = base; i < inner; i++, source += step) to[out++] = from[source]!;
    for (let axis = rank - 2; axis >= 0; axis--) {
      base += steps[axis]!;
      if (++at[axis]! < dims[axis]!) break;
      base -= steps[axis]! * dims[axis]!;
      at[axis] = 0;
    }
  }
  return to as unknown as StorageOf<D>;
}

/** How many elements apart neighbours along each dimension are. */
export const stridesOf = (shape: readonly number[]): number[] => shape.map((_, i) => elementCount(shape.slice(i + 1)));
