import { failure } from "./diagnostic.ts";
import { isCount } from "./dtype.ts";

/** A range of bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes that can be read in part: a file, a Blob, an HTTP resource, memory. */
export interface ByteSource {
  /** Named in errors. */
  readonly name: string;
  readonly byteLength: number;
  /** Reads exactly `range`, which must lie inside. The caller owns the result unless the source is memory. */
  read(range: ByteRange, signal?: AbortSignal): Promise<Uint8Array>;
  /** After it, reads reject. Safe to call twice. */
  close(): Promise<void>;
}

/** Where the files of an artifact go. Nothing is visible under its name before `commit`. */
export interface FileSink {
  /** Opens a new file by its name relative to the artifact (`model.onnx`, `model.onnx.data`). */
  create(name: string): Promise<FileWriter>;
  /** Puts all files in their place. */
  commit(): Promise<void>;
  /** Throws away what was written. Safe to call after `commit`, when it does nothing. */
  abort(): Promise<void>;
}

export interface FileWriter {
  /** Appends. The bytes may be reused by the caller when the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Throws when `range` is not wholly inside `size` bytes. */
export function checkRange({ offset, length }: ByteRange, size: number, name: string): void {
  if (![offset, length, size - offset - length].every(isCount))
    throw failure("core/range", `bytes ${offset} to ${offset + length} are outside its ${size} bytes`, {
      location: { file: name },
    });
}

/** Memory as a source. Reads are views, not copies. */
export function memorySource(bytes: Uint8Array, name = "memory"): ByteSource {
  return {
    name,
    byteLength: bytes.byteLength,
    async read(range, signal) {
      signal?.throwIfAborted();
      checkRange(range, bytes.byteLength, name);
      return bytes.subarray(range.offset, range.offset + range.length);
    },
    async close() {},
  };
}
