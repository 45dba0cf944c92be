import { type DType, dtypeBits, failure } from "@pare/core";

/** Element types below a byte. */
export type Packed = "int4" | "uint4" | "int2" | "uint2" | "float4e2m1";

export const isPacked = (dtype: DType): dtype is Packed => dtypeBits[dtype] > 0 && dtypeBits[dtype] < 8;

/** Packs integers, the first in the low bits of a byte. Of each its low bits are taken; the last byte is padded with zeros. */
export function pack(dtype: Packed, values: ArrayLike<number>): Uint8Array {
  const bits = dtypeBits[dtype];
  const mask = (1 << bits) - 1;
  const out = new Uint8Array(Math.ceil((values.length * bits) / 8));
  for (let i = 0; i < values.length; i++) out[(i * bits) >> 3]! |= (values[i]! & mask) << ((i * bits) & 7);
  return out;
}

/** The integers of `count` packed elements; of float4e2m1, its bits. */
export function unpack(dtype: Packed, bytes: Uint8Array, count: number): Int8Array {
  const bits = dtypeBits[dtype];
  if (bytes.length * 8 < count * bits)
    throw failure("ops/short-data", `${bytes.length} bytes hold no ${count} elements of ${dtype}`);
  const signed = dtype.startsWith("int");
  const out = new Int8Array(count);
  for (let i = 0; i < count; i++) {
    const code = (bytes[(i * bits) >> 3]! >> ((i * bits) & 7)) & ((1 << bits) - 1);
    out[i] = signed ? (code << (32 - bits)) >> (32 - bits) : code;
  }
  return out;
}
