import { type ByteRange, checkRange } from "./bytes.ts";
import { failure } from "./diagnostic.ts";
import { byteLengthOf, bytesOf, type DType, dtypeBits, elementCount, type StorageOf, storageView } from "./dtype.ts";

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
  readonly key?: string;
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
  const { byteLength } = bytes;
  const read = async ({ offset, length }: ByteRange) => bytes.subarray(offset, offset + length);
  return { ...lazyTensor({ dtype, shape, byteLength, read, ...(key !== undefined && { key }) }), bytes };
}

function fromNumbers(dtype: DType, data: readonly (number | bigint)[]): ArrayBufferView {
  const bits = dtypeBits[dtype];
  const count = dtype.startsWith("complex") ? data.length / 2 : data.length;
  const view = storageView(dtype, new Uint8Array(byteLengthOf(dtype, count)));
  for (const [i, v] of data.entries())
    if (view instanceof BigInt64Array || view instanceof BigUint64Array) view[i] = BigInt(v);
    else if (bits >= 8) view[i] = Number(v);
    else view[Math.floor((i * bits) / 8)]! |= (Number(v) & ((1 << bits) - 1)) << ((i * bits) % 8);
  return view;
}

function checkShape(dtype: DType, shape: readonly number[], byteLength: number): void {
  const whole = shape.every((d) => Number.isSafeInteger(d) && d >= 0);
  const count = elementCount(shape);
  if (!whole || !Number.isSafeInteger(count)) throw failure("core/tensor-shape", `[${shape}] is no shape`);
  if (dtype !== "string" && byteLengthOf(dtype, count) !== byteLength)
    throw failure(
      "core/tensor-size",
      `${dtype}[${shape}] takes ${byteLengthOf(dtype, count)} bytes, not ${byteLength}`,
    );
}

/** A tensor whose bytes `read` brings; ranges are checked before it is asked. `byteLength` is needed for strings only. */
export function lazyTensor<D extends DType>(spec: {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly key?: string;
  readonly byteLength?: number;
  readonly read: (range: ByteRange, signal?: AbortSignal) => Promise<Uint8Array>;
}): Tensor<D> {
  const { dtype, shape } = spec;
  const byteLength = spec.byteLength ?? byteLengthOf(dtype, elementCount(shape));
  checkShape(dtype, shape, byteLength);
  return {
    dtype,
    shape: [...shape],
    byteLength,
    ...(spec.key !== undefined && { key: spec.key }),
    async read(range = { offset: 0, length: byteLength }, signal) {
      signal?.throwIfAborted();
      checkRange(range, byteLength, `${dtype} tensor`);
      const bytes = await spec.read(range, signal);
      if (bytes.byteLength !== range.length)
        throw failure("core/short-read", `${bytes.byteLength} bytes came where ${range.length} were asked for`);
      return bytes;
    },
  };
}

/** The bytes of a tensor in order, in pieces of `size` bytes (a multiple of 16 keeps elements whole). */
export async function* chunksOf(t: Tensor, signal?: AbortSignal, size = CHUNK_BYTES): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < t.byteLength; offset += size)
    yield await t.read({ offset, length: Math.min(size, t.byteLength - offset) }, signal);
}

/** The stored elements of a tensor in memory. */
export const dataOf = <D extends DType>(t: ResidentTensor<D>): StorageOf<D> => storageView(t.dtype, t.bytes);

/** Reads a tensor whole into memory. */
export const resident = async <D extends DType>(t: Tensor<D>, signal?: AbortSignal): Promise<ResidentTensor<D>> =>
  t.bytes ? (t as ResidentTensor<D>) : tensor(t.dtype, t.shape, await t.read(undefined, signal), t.key);
