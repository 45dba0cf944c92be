import { type ByteRange, checkRange, memorySource } from "./bytes.ts";
import { failure } from "./diagnostic.ts";
import {
  byteLengthOf,
  bytesOf,
  type DType,
  dtypeBits,
  elementCount,
  isCount,
  type StorageOf,
  storageType,
  storageView,
} from "./dtype.ts";

/** Tensors up to this many bytes are resident when a format reads them, so that {@link constantOf} can see them. */
export const RESIDENT_LIMIT = 65536;

/** Bytes that one step of a streaming read moves. */
export const CHUNK_BYTES = 1 << 20;

/** A weight or a value: what it is, and bytes that are read only when someone asks. Immutable. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** All bytes, when they are in memory. Never write to them. */
  readonly bytes?: Uint8Array;
  /** A name of the content: tensors with equal keys have equal bytes. Missing when nobody knows without reading. */
  readonly key?: string | undefined;
  /** Reads exactly `range` (default: all), little endian, row major. The result may be a view: never write to it. */
  read(range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array>;
}

/** A tensor whose bytes are in memory. */
export interface ResidentTensor<D extends DType = DType> extends Tensor<D> {
  readonly bytes: Uint8Array;
}

/**
 * A tensor in memory. `data` holds stored elements (float16 as bits, see {@link StorageArray}). An
 * array of numbers has one for each element, below a byte too, and two for a complex one.
 * @throws PareError `core/tensor-size` when `data` does not fill `shape`.
 * @example tensor("float32", [2, 2], [1, 2, 3, 4])
 */
export function tensor<D extends DType>(
  dtype: D,
  shape: readonly number[],
  data: ArrayBufferView | readonly (number | bigint)[],
  key?: string,
): ResidentTensor<D> {
  const bytes = bytesOf(ArrayBuffer.isView(data) ? data : fromNumbers(dtype, data));
  return { ...lazyTensor({ ...memorySource(bytes), dtype, shape, key }), bytes };
}

/** What a tensor is: `float32[2,3]`. */
export const formatType = ({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): string => `${dtype}[${shape}]`;

function fromNumbers(dtype: DType, data: readonly (number | bigint)[]): ArrayBufferView {
  const bits = dtypeBits[dtype];
  if (bits >= 8) return storageType(dtype).from(data.map((v) => (dtype.endsWith("int64") ? BigInt(v) : Number(v))));
  const packed = new Uint8Array(byteLengthOf(dtype, data.length));
  data.forEach((v, i) => {
    packed[(i * bits) >> 3]! |= (Number(v) & ((1 << bits) - 1)) << ((i * bits) & 7);
  });
  return packed;
}

/** The numbers that a tensor stores, those below a byte unpacked. */
export function numbersOf(t: ResidentTensor): readonly (number | bigint)[] {
  const bits = dtypeBits[t.dtype];
  const unpack = (_: unknown, i: number) => (t.bytes[(i * bits) >> 3]! >> ((i * bits) & 7)) & ((1 << bits) - 1);
  return bits >= 8 ? [...dataOf(t)] : Array.from({ length: elementCount(t.shape) }, unpack);
}

/** A tensor whose bytes `read` brings; ranges are checked before it is asked. `byteLength` is needed for strings only. */
export function lazyTensor<D extends DType>(spec: {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly key?: string | undefined;
  readonly byteLength?: number;
  readonly read: (range: ByteRange, signal?: AbortSignal) => Promise<Uint8Array>;
}): Tensor<D> {
  const { dtype, shape, key } = spec;
  const name = formatType(spec);
  const count = elementCount(shape);
  const size = byteLengthOf(dtype, count);
  const byteLength = spec.byteLength ?? size;
  if (![...shape, count].every(isCount)) throw failure("core/tensor-shape", `${name} has no such shape`);
  if (dtype !== "string" && byteLength !== size)
    throw failure("core/tensor-size", `${name} has ${byteLength} bytes, not ${size}`);
  return {
    dtype,
    shape: [...shape],
    byteLength,
    key,
    async read(range = { offset: 0, length: byteLength }, signal) {
      signal?.throwIfAborted();
      checkRange(range, byteLength, name);
      const bytes = await spec.read(range, signal);
      if (bytes.byteLength !== range.length)
        throw failure("core/short-read", `${name} read ${bytes.byteLength} bytes, not ${range.length}`);
      return bytes;
    },
  };
}

/** The bytes of a tensor in order, in pieces of `size` bytes (a multiple of 16 keeps elements whole). */
export async function* chunksOf(
  t: Pick<Tensor, "byteLength" | "read">,
  signal?: AbortSignal,
  size = CHUNK_BYTES,
): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < t.byteLength; offset += size)
    yield await t.read({ offset, length: Math.min(size, t.byteLength - offset) }, signal);
}

/** The stored elements of a tensor in memory. */
export const dataOf = <D extends DType>(t: ResidentTensor<D>): StorageOf<D> => storageView(t.dtype, t.bytes);

/** Reads a tensor whole into memory. */
export const resident = async <D extends DType>(t: Tensor<D>, signal?: AbortSignal): Promise<ResidentTensor<D>> =>
  t.bytes ? (t as ResidentTensor<D>) : tensor(t.dtype, t.shape, await t.read(undefined, signal), t.key);
