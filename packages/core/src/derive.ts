import { failure } from "./diagnostic.ts";
import { byteLengthOf, bytesOf, type DType, elementCount, type StorageOf, storageView } from "./dtype.ts";
import { CHUNK_BYTES, lazyTensor, type Tensor, tensor } from "./tensor.ts";

/** The parent's elements in order, a typed array for each piece, with the index of its first element. */
export type Chunks<D extends DType> = AsyncIterable<{ readonly data: StorageOf<D>; readonly start: number }>;

export interface Derivation<D extends DType, P, R extends DType> {
  /** Names the computation and its parameters, `threshold@1:0.1`; with the parent's key it names the result. */
  readonly key: string;
  /** Runs once, when first needed, and is remembered: statistics, a scale. */
  readonly prepare?: (chunks: Chunks<D>, signal?: AbortSignal) => P | Promise<P>;
  /**
   * Maps stored elements to as many stored elements of the result, whose first has index `start` in the whole tensor.
   * Pure: it may be called again for the same piece and in any order. It must not write to `data`.
   */
  readonly map: (data: StorageOf<D>, prepared: P, start: number) => StorageOf<R>;
  /** Element type of the result; by default the parent's. */
  readonly dtype?: R;
  /** Shape of the result, of as many elements; by default the parent's. */
  readonly shape?: readonly number[];
}

/** Elements of one piece: a fixed count, so that every reader sees the same pieces whatever ranges it asks for. */
const PIECE = CHUNK_BYTES / 4;

/** The elements of the piece that starts at element `start`. */
async function pieceOf<D extends DType>(t: Tensor<D>, start: number, signal?: AbortSignal): Promise<StorageOf<D>> {
  const offset = byteLengthOf(t.dtype, start);
  const length = Math.min(pieceBytes(t.dtype), t.byteLength - offset);
  return storageView(t.dtype, await t.read({ offset, length }, signal));
}

function pieceBytes(dtype: DType): number {
  if (dtype === "string") throw failure("core/derive-string", "strings have no size");
  return byteLengthOf(dtype, PIECE);
}

/**
 * A weight computed from another, piece by piece, when it is read. Nothing is read now; memory stays at about a piece.
 * @example deriveTensor(w, { key: "half@1", map: (data) => data.map((v) => v / 2) })
 */
export function deriveTensor<D extends DType, P = undefined, R extends DType = D>(
  parent: Tensor<D>,
  d: Derivation<D, P, R>,
): Tensor<R> {
  const dtype = (d.dtype ?? parent.dtype) as R;
  const size = pieceBytes(dtype);
  const shape = d.shape ?? parent.shape;
  const count = elementCount(parent.shape);
  if (elementCount(shape) !== count)
    throw failure("core/derive-size", `${d.key} gave [${shape}], not [${parent.shape}]`);
  const prepared = memo((signal) => d.prepare?.(elementsOf(parent, signal), signal) as P);

  const piece = async (start: number, signal?: AbortSignal): Promise<Uint8Array> => {
    const p = await prepared(signal);
    const bytes = bytesOf(d.map(await pieceOf(parent, start, signal), p, start));
    const expected = byteLengthOf(dtype, Math.min(PIECE, count - start));
    if (bytes.byteLength !== expected)
      throw failure("core/derive-size", `${d.key} gave ${bytes.byteLength} bytes, not ${expected}`);
    return bytes;
  };

  return lazyTensor({
    dtype,
    shape,
    key: parent.key && `${parent.key}|${d.key}`,
    async read({ offset, length }, signal) {
      let out: Uint8Array | undefined;
      const end = offset + length;
      for (let i = Math.floor(offset / size); i * size < end; i++) {
        const from = i * size;
        const part = (await piece(i * PIECE, signal)).subarray(Math.max(0, offset - from), end - from);
        if (part.length === length) return part;
        (out ??= new Uint8Array(length)).set(part, Math.max(0, from - offset));
      }
      return out ?? new Uint8Array();
    },
  });
}

/** The elements of a tensor in order, in pieces. */
export async function* elementsOf<D extends DType>(
  t: Tensor<D>,
  signal?: AbortSignal,
): AsyncGenerator<{ data: StorageOf<D>; start: number }> {
  const size = pieceBytes(t.dtype);
  for (let i = 0; i * size < t.byteLength; i++) yield { data: await pieceOf(t, i * PIECE, signal), start: i * PIECE };
}

/** A small tensor that is computed when first read, and then remembered: the scales of a quantized weight. */
export function computedTensor<D extends DType>(spec: {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly key?: string | undefined;
  readonly compute: (signal?: AbortSignal) => Promise<StorageOf<D>>;
}): Tensor<D> {
  const made = memo(async (signal) => tensor(spec.dtype, spec.shape, await spec.compute(signal)));
  return lazyTensor({ ...spec, read: async (range, signal) => (await made(signal)).read(range) });
}

/**
 * Remembers the result of an asynchronous computation. A failure (an abort among them) is not remembered: the next
 * caller starts again. A caller that waits for another's computation which was aborted starts its own.
 */
export function memo<T>(compute: (signal?: AbortSignal) => T | Promise<T>): (signal?: AbortSignal) => Promise<T> {
  let pending: Promise<T> | undefined;
  return async (signal) => {
    for (;;) {
      signal?.throwIfAborted();
      const mine = pending === undefined;
      pending ??= (async () => compute(signal))();
      const current = pending;
      try {
        return await current;
      } catch (error) {
        if (pending === current) pending = undefined;
        if (mine) throw error;
      }
    }
  };
}
