import { failure } from "./diagnostic.ts";
import { elementCount } from "./dtype.ts";
import { type ResidentTensor, tensor } from "./tensor.ts";

/** A string tensor in memory. Stored as, for each element, its length in bytes (uint32) and its UTF-8 bytes. */
export function stringTensor(
  shape: readonly number[],
  strings: readonly (string | Uint8Array)[],
): ResidentTensor<"string"> {
  if (strings.length !== elementCount(shape))
    throw failure(
      "core/tensor-size",
      `[${shape}] takes ${elementCount(shape)} strings, but ${strings.length} were given`,
    );
  const parts = strings.map((s) => (typeof s === "string" ? new TextEncoder().encode(s) : s));
  const bytes = new Uint8Array(parts.reduce((n, p) => n + 4 + p.length, 0));
  let at = 0;
  for (const part of parts) {
    new DataView(bytes.buffer).setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return tensor("string", shape, bytes);
}

/** The elements of a string tensor, as bytes: files may hold what is not UTF-8. */
export function stringsOf(t: ResidentTensor<"string">): Uint8Array[] {
  const view = new DataView(t.bytes.buffer, t.bytes.byteOffset, t.byteLength);
  const strings: Uint8Array[] = [];
  for (let at = 0; at < t.byteLength; ) {
    const length = view.getUint32(at, true);
    strings.push(t.bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return strings;
}
