import { dataOf, type ResidentTensor } from "@pare/core";
import { stringsOf } from "@pare/core/strings";
import { numbersOf } from "@pare/ops/numeric";
import { addPairs, type Sums } from "./sums.ts";

/** Formats whose stored elements are numbers as they are: no copy is made. */
const plain = /^(float32|float64|u?int(8|16|32)|bool|complex\d+)$/;

const elements = (t: ResidentTensor): ArrayLike<number> =>
  plain.test(t.dtype) ? (dataOf(t) as Float32Array) : numbersOf(t);

/** Adds the elements of two tensors of one shape; returns why that cannot be. Strings are equal or not. */
export function addTensors(sums: Sums, reference: ResidentTensor, got: ResidentTensor): string | undefined {
  const strings = [reference, got].filter((t) => t.dtype === "string").length;
  if (strings === 1 || reference.dtype.startsWith("complex") !== got.dtype.startsWith("complex"))
    return `is ${reference.dtype} and became ${got.dtype}, which cannot be compared`;
  if (strings === 2) {
    const [a, b] = [stringsOf(reference as ResidentTensor<"string">), stringsOf(got as ResidentTensor<"string">)];
    const equal = a.map((s, i) => Number(s.length === b[i]!.length && s.every((byte, k) => byte === b[i]![k])));
    addPairs(sums, new Uint8Array(a.length).fill(1), equal);
  } else addPairs(sums, elements(reference), elements(got));
  return undefined;
}
