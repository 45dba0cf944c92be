import {
  type DType,
  dataOf,
  dtypeBits,
  elementCount,
  failure,
  type ResidentTensor,
  storageView,
  tensor,
} from "@pare/core";
import { bfloat16ToFloat32 } from "./bfloat16.ts";
import { float16ToFloat32 } from "./float16.ts";
import { decodeE8m0, decodeFloat, encodeE8m0, encodeFloat, isSmallFloat } from "./formats.ts";
import { isPacked, pack, unpack } from "./packed.ts";

/** Smallest and largest integer of a type. */
export function integerRange(dtype: DType): readonly [bigint, bigint] | undefined {
  const bits = BigInt(dtypeBits[dtype]);
  if (dtype.startsWith("int")) return [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n];
  if (dtype.startsWith("uint")) return [0n, (1n << bits) - 1n];
  return dtype === "bool" ? [0n, 1n] : undefined;
}

export const isInteger = (dtype: DType): boolean => /^u?int/.test(dtype);

/**
 * The elements of a tensor as numbers; two for a complex one. 64-bit integers beyond 2^53 are rounded: see {@link bigIntsOf}.
 * @throws PareError `ops/no-numbers` for strings
 */
export function numbersOf(t: ResidentTensor): Float64Array {
  const { dtype } = t;
  if (dtype === "string") throw failure("ops/no-numbers", "strings are no numbers");
  if (dtype === "float16") return Float64Array.from(float16ToFloat32(dataOf(t as ResidentTensor<"float16">)));
  if (dtype === "bfloat16") return Float64Array.from(bfloat16ToFloat32(dataOf(t as ResidentTensor<"bfloat16">)));
  if (isPacked(dtype)) {
    const codes = unpack(dtype, t.bytes, elementCount(t.shape));
    return Float64Array.from(codes, dtype === "float4e2m1" ? (b) => decodeFloat(dtype, b) : Number);
  }
  const data = dataOf(t);
  if (dtype === "float8e8m0") return Float64Array.from(data as Uint8Array, decodeE8m0);
  if (isSmallFloat(dtype)) {
    const table = Float64Array.from({ length: 256 }, (_, bits) => decodeFloat(dtype, bits));
    return Float64Array.from(data as Uint8Array, (bits) => table[bits]!);
  }
  const out = new Float64Array(data.length);
  for (let i = 0; i < data.length; i++) out[i] = Number(data[i]);
  return out;
}

/** The elements of an int64 or uint64 tensor, exact. A view where it can be: do not write to it. */
export const bigIntsOf = (t: ResidentTensor<"int64" | "uint64">): BigInt64Array | BigUint64Array => dataOf(t);

/**
 * Numbers as a tensor, each rounded once to the nearest that `dtype` has, ties to even; 8-bit floats saturate as ONNX's
 * Cast does, unless `saturate` is false. Integers must be integers; of one out of range the low bits are taken.
 * @param values one for each element, two for a complex one
 */
export function tensorOf(
  dtype: DType,
  shape: readonly number[],
  values: ArrayLike<number>,
  saturate = true,
): ResidentTensor {
  if (dtype === "string") throw failure("ops/no-numbers", "numbers are no strings");
  if (isPacked(dtype)) {
    const codes = dtype === "float4e2m1" ? Uint8Array.from(values, (x) => encodeFloat(dtype, x)) : values;
    return tensor(dtype, shape, pack(dtype, codes));
  }
  const out = storageView(
    dtype,
    new Uint8Array((values.length * dtypeBits[dtype]) / (dtype.startsWith("complex") ? 16 : 8)),
  );
  if (out instanceof BigInt64Array || out instanceof BigUint64Array)
    for (let i = 0; i < out.length; i++) out[i] = BigInt(values[i]!);
  else if (dtype === "float8e8m0") for (let i = 0; i < out.length; i++) out[i] = encodeE8m0(values[i]!, saturate);
  else if (dtype === "float16" || dtype === "bfloat16")
    for (let i = 0; i < out.length; i++) out[i] = encodeFloat(dtype, values[i]!);
  else if (isSmallFloat(dtype)) for (let i = 0; i < out.length; i++) out[i] = encodeFloat(dtype, values[i]!, saturate);
  else for (let i = 0; i < out.length; i++) out[i] = values[i]!;
  return tensor(dtype, shape, out);
}
