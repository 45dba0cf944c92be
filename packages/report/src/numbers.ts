import { type DType, dataOf, type ResidentTensor } from "@pare/core";
import { stringsOf } from "@pare/core/strings";
import { float16ToFloat32, float32ToFloat16 } from "@pare/ops/numeric";
import { addPairs, type Sums } from "./sums.ts";

/**
 * The elements of a tensor as numbers; integers of 64 bits are rounded to doubles. Undefined for formats that engines do not
 * hand out: 8-bit floats and elements below a byte.
 */
export function numbersOf(t: ResidentTensor): ArrayLike<number> | undefined {
  const data = dataOf(t);
  switch (t.dtype) {
    case "float16":
      return float16ToFloat32(data as Uint16Array);
    case "bfloat16":
      // The upper half of a float32.
      return new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer);
    case "int64":
    case "uint64":
      return Float64Array.from(data as BigInt64Array, Number);
    case "string":
      return undefined;
    default:
      return /^float[48]|int[24]$/.test(t.dtype) ? undefined : (data as Float32Array);
  }
}

/** A float tensor's elements as the storage of another float type. */
export function convertFloat(t: ResidentTensor, dtype: DType): Float32Array | Float64Array | Uint16Array | undefined {
  const numbers = numbersOf(t);
  if (!numbers) return undefined;
  if (dtype === "float64") return Float64Array.from(numbers);
  const single = Float32Array.from(numbers);
  return dtype === "float32" ? single : dtype === "float16" ? float32ToFloat16(single) : undefined;
}

/** Adds the elements of two tensors of one shape; returns why that cannot be. Strings are equal or not. */
export function addTensors(sums: Sums, reference: ResidentTensor, got: ResidentTensor): string | undefined {
  if (reference.dtype === "string" && got.dtype === "string") {
    const [a, b] = [stringsOf(reference as ResidentTensor<"string">), stringsOf(got as ResidentTensor<"string">)];
    const equal = a.map((s, i) => Number(s.length === b[i]!.length && s.every((byte, k) => byte === b[i]![k])));
    addPairs(sums, new Uint8Array(a.length).fill(1), equal);
    return undefined;
  }
  const [a, b] = [numbersOf(reference), numbersOf(got)];
  if (a && b) addPairs(sums, a, b);
  return a && b ? undefined : `is ${reference.dtype} and became ${got.dtype}, which cannot be compared`;
}
