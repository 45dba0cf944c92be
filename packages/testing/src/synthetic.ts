import { byteLengthOf, type DType, elementCount, failure, lazyTensor, type Tensor } from "@pare/core";

/** What was read of a synthetic tensor so far. */
export interface Reads {
  /** Bytes, each as often as it was read. */
  bytes: number;
  calls: number;
  /** Bytes of the largest single read. */
  largest: number;
}

export interface SyntheticOptions<D extends DType> {
  /** Default float32. */
  readonly dtype?: D;
  readonly shape: readonly number[];
  /** Bytes after which a read fails with `testing/read-budget`. Default: no limit. */
  readonly budget?: number;
  /** Milliseconds that each read takes; it ends at once when its signal aborts. Default 0. */
  readonly delay?: number;
  /** Called at each read, before it. */
  readonly onRead?: () => void;
}

/** A lazy weight that exists nowhere: its bytes are made when they are read, the same each time, and reads are counted. */
export function syntheticTensor<D extends DType = "float32">(
  options: SyntheticOptions<D>,
): { readonly tensor: Tensor<D>; readonly reads: Reads } {
  const { shape, budget = Number.POSITIVE_INFINITY, delay = 0, onRead } = options;
  const dtype = (options.dtype ?? "float32") as D;
  const reads: Reads = { bytes: 0, calls: 0, largest: 0 };
  const size = byteLengthOf(dtype, elementCount(shape));
  const made = lazyTensor({
    dtype,
    shape,
    key: `synthetic:${dtype}:${shape}`,
    byteLength: size,
    async read({ offset, length }, signal) {
      onRead?.();
      reads.calls++;
      reads.bytes += length;
      reads.largest = Math.max(reads.largest, length);
      if (reads.bytes > budget)
        throw failure("testing/read-budget", `more than ${budget} bytes were read of a weight of ${size} bytes`);
      if (delay > 0) await pause(delay, signal);
      return pattern(offset, length);
    },
  });
  return { tensor: made, reads };
}

/** A float32 matrix of about `bytes` bytes that counts what is read of it. @example hugeTensor(8 * 2 ** 30).tensor */
export const hugeTensor = (bytes: number, more: Omit<SyntheticOptions<"float32">, "shape"> = {}) => {
  const rows = 2 ** Math.max(1, Math.floor(Math.log2(bytes / 4) / 2));
  return syntheticTensor({ shape: [rows, Math.max(1, Math.floor(bytes / 4 / rows))], ...more });
};

/** Bytes that repeat every 65,536 and are, as float32, small numbers of both signs. */
const block = (() => {
  let made: Uint8Array | undefined;
  return () => {
    if (!made) {
      const numbers = Float32Array.from({ length: 16384 }, (_, i) => Math.sin(i * 0.7) * 2 ** -(i % 9));
      made = new Uint8Array(numbers.buffer);
    }
    return made;
  };
})();

function pattern(offset: number, length: number): Uint8Array {
  const source = block();
  const out = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const from = (offset + at) % source.length;
    const part = source.subarray(from, Math.min(source.length, from + length - at));
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });
}
