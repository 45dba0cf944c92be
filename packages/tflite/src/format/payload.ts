import { type ByteSource, checkRange, memorySource, RESIDENT_LIMIT, type Tensor } from "@pare/core";

/** Bytes that are in memory or can be read: a weight as the file holds it. Any tensor of `@pare/core` is one. */
export type Payload = Pick<Tensor, "byteLength" | "bytes" | "key" | "read">;

/** A piece of a file as bytes of its own: up to 64 KiB are read now, others when someone asks. */
export async function storedAt(
  source: ByteSource,
  offset: number,
  length: number,
  onResident?: (bytes: number) => void,
): Promise<Payload> {
  if (length <= RESIDENT_LIMIT) {
    onResident?.(length);
    // What is read may be a view of much more.
    return inMemory((await source.read({ offset, length })).slice());
  }
  return {
    byteLength: length,
    async read(range = { offset: 0, length }, signal) {
      checkRange(range, length, source.name);
      return source.read({ offset: offset + range.offset, length: range.length }, signal);
    },
  };
}

/** Bytes as a payload. */
export const inMemory = (bytes: Uint8Array): Payload => {
  const { read } = memorySource(bytes);
  return {
    byteLength: bytes.byteLength,
    bytes,
    read: (range = { offset: 0, length: bytes.byteLength }, signal) => read(range, signal),
  };
};
