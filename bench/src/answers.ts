import { isFloat, type ResidentTensor, tensor } from "@pare/core";
import { stringTensor } from "@pare/core/strings";
import type { AnyValue } from "@pare/ops/evaluate";
import { numbersOf } from "@pare/ops/numeric";
import type { Answer, OrtTensor } from "./ort-engine.ts";

export const isTensor = (v: AnyValue): v is ResidentTensor => v !== null && "dtype" in v;

/** Share of the largest number that rounding to an element type may cost over a few operators. */
const rounding = new Map<string, number>([
  ["float16", 4e-3],
  ["bfloat16", 3e-2],
]);

/** What may be added to the tolerance of small numbers: some rounding of the largest. */
export function atolOf(recorded: AnyValue, least: number, share = 0): number {
  if (!isTensor(recorded) || !isFloat(recorded.dtype)) return least;
  const largest = numbersOf(recorded).reduce((m, v) => Math.max(m, Number.isFinite(v) ? Math.abs(v) : 0), 0);
  return Math.max(least, largest * (rounding.get(recorded.dtype) ?? share));
}

/** The outputs of an answer; none where there is none. */
export const valuesOf = (answer: Answer): ReadonlyMap<string, ResidentTensor> =>
  new Map("outputs" in answer ? [...answer.outputs].map(([name, t]) => [name, tensorOf(t)]) : []);

function tensorOf({ type, dims, data }: OrtTensor): ResidentTensor {
  if (!ArrayBuffer.isView(data))
    return stringTensor(
      dims,
      data.map((text) => new TextEncoder().encode(text)),
    );
  return tensor(type as "float32", dims, new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice());
}
