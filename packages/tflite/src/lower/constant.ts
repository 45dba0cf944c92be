import {
  byteLengthOf,
  bytesOf,
  CHUNK_BYTES,
  dataOf,
  deriveTensor,
  elementCount,
  lazyTensor,
  type ResidentTensor,
  storageView,
  type Tensor,
  tensor,
} from "@pare/core";
import { unpack } from "@pare/ops/numeric";
import type { TfliteTensor } from "../format/model.ts";

/** A list of integers as a constant of a graph. */
export const int32 = (name: string, values: readonly number[]): TfliteTensor => ({
  name,
  type: "INT32",
  shape: [values.length],
  has_rank: true,
  data: tensor("int32", [values.length], [...values]),
});

/** A constant of 4-bit integers in 8 bits: kernels of few operators take fewer, and nothing moves half a byte. */
export function widened(t: Tensor): Tensor {
  if (t.dtype !== "int4" && t.dtype !== "uint4") return t;
  const { dtype } = t;
  const wide = dtype === "int4" ? "int8" : "uint8";
  const count = elementCount(t.shape);
  const map = (packed: Uint8Array, start: number) => unpack(dtype, packed, Math.min(2 * packed.length, count - start));
  if (t.bytes) return tensor(wide, t.shape, bytesOf(map(t.bytes, 0)));
  return deriveTensor(t as Tensor<"int4">, {
    key: "wide@1",
    dtype: wide as "int8",
    map: (packed, _, start) => map(packed, start),
  });
}

/**
 * A constant with its dimensions in another order, and those that are `flipped` from end to start. A large one is made in
 * blocks when it is read, each from a pass over the source, of which it needs all where its first dimension is not the source's.
 */
export function transposed(t: Tensor, perm: readonly number[], flipped: readonly number[] = []): Tensor {
  const shape = perm.map((axis) => t.shape[axis]!);
  const count = elementCount(shape);
  const [size, axis] = [byteLengthOf(t.dtype, 1), perm[0] ?? 0];
  const [dim, stride] = [t.shape[axis] ?? 1, stridesOf(t.shape)[axis] ?? 1];
  const row = count / dim;
  const move = mover(t.shape, perm, flipped);
  if (t.bytes) {
    const out = storageView(t.dtype, new Uint8Array(t.byteLength)) as unknown as Numbers;
    move(out, 0, dataOf(t as ResidentTensor) as unknown as Numbers, 0, 0, count);
    return tensor(t.dtype, shape, bytesOf(out));
  }
  const rows = Math.ceil(Math.max(LEAST_BLOCK, t.byteLength / MOST_PASSES) / (row * size));
  /** The rows of the result from `first` on. */
  const block = async (first: number, signal?: AbortSignal): Promise<Uint8Array> => {
    const end = Math.min(dim, first + rows);
    const [low, high] = flipped.includes(axis) ? [dim - end, dim - first] : [first, end];
    const bytes = new Uint8Array((end - first) * row * size);
    const out = storageView(t.dtype, bytes) as unknown as Numbers;
    const [outer, inner] = [count / (dim * stride), dim * stride];
    const [from, to] = outer === 1 ? [low * stride, high * stride] : [0, count];
    for (let start = from; start < to; start += PIECE) {
      const length = Math.min(PIECE, to - start);
      const read = await t.read({ offset: start * size, length: length * size }, signal);
      const data = storageView(t.dtype, read) as unknown as Numbers;
      for (let part = Math.floor(start / inner); part * inner < start + length; part++) {
        const begin = Math.max(start, part * inner + low * stride);
        const stop = Math.min(start + length, part * inner + high * stride);
        if (begin < stop) move(out, first * row, data, start, begin, stop);
      }
    }
    return bytes;
  };
  // Readers go from the start to the end: the block that they are in is kept.
  let kept: { readonly first: number; readonly bytes: Uint8Array } | undefined;
  return lazyTensor({
    dtype: t.dtype,
    shape,
    key: t.key === undefined ? undefined : `${t.key}|transposed:${perm}|${flipped}`,
    async read({ offset, length }, signal) {
      const bytes = new Uint8Array(length);
      for (let at = offset; at < offset + length; ) {
        const first = Math.floor(at / (rows * row * size)) * rows;
        if (kept?.first !== first) kept = { first, bytes: await block(first, signal) };
        const start = at - first * row * size;
        const part = kept.bytes.subarray(start, start + offset + length - at);
        bytes.set(part, at - offset);
        at += part.length;
      }
      if (offset + length === t.byteLength) kept = undefined;
      return bytes;
    },
  });
}

interface Numbers extends ArrayBufferView {
  readonly length: number;
  [index: number]: number;
}

/** Elements of the source that are read at once. */
const PIECE = CHUNK_BYTES / 4;
/** Least bytes of a block, and how often a source is read at most: a block is larger where that would be more often. */
const LEAST_BLOCK = 8 << 20;
const MOST_PASSES = 16;

/**
 * Puts the elements `begin` to `end` of the source, of which `data` has those from `start` on, where they are in the result, of
 * which `out` has those from `base` on.
 */
function mover(shape: readonly number[], perm: readonly number[], flipped: readonly number[]) {
  const own = stridesOf(shape);
  const strides = stridesOf(perm.map((axis) => shape[axis]!));
  const places = shape.map((_, axis) => strides[perm.indexOf(axis)]!);
  const steps = places.map((step, axis) => (flipped.includes(axis) ? -step : step));
  const origin = flipped.reduce((sum, axis) => sum + (shape[axis]! - 1) * places[axis]!, 0);
  const inner = shape.length - 1;
  return (out: Numbers, base: number, data: Numbers, start: number, begin: number, end: number) => {
    const at = shape.map((d, axis) => Math.floor(begin / own[axis]!) % d);
    let to = at.reduce((sum, n, axis) => sum + n * steps[axis]!, origin - base);
    const [length, step] = [shape[inner] ?? 1, steps[inner] ?? 0];
    for (let e = begin; e < end; ) {
      const stop = Math.min(end, e + length - (at[inner] ?? 0));
      for (let from = e - start; from < stop - start; from++, to += step) out[to] = data[from]!;
      e = stop;
      to -= length * step;
      if (inner >= 0) at[inner] = 0;
      for (let axis = inner - 1; axis >= 0; axis--) {
        to += steps[axis]!;
        if (++at[axis]! < shape[axis]!) break;
        to -= steps[axis]! * shape[axis]!;
        at[axis] = 0;
      }
    }
  };
}

/** How many elements apart neighbours along each dimension are. */
export const stridesOf = (shape: readonly number[]): number[] => shape.map((_, i) => elementCount(shape.slice(i + 1)));
