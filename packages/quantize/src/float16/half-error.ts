import type { Chunks } from "@pare/core";
import { halfStatistics } from "@pare/ops/kernels";

/** Largest finite float16, and smallest that keeps all 11 bits. (IEEE 754-2019, binary16.) */
export const HALF_MAX = 65504;
export const HALF_MIN_NORMAL = 2 ** -14;

/** What rounding a tensor to float16 does to it. */
export interface HalfError {
  /** Elements that become infinite, or were not finite. */
  readonly overflow: number;
  /** Largest magnitude. */
  readonly largest: number;
  /** 10 log10(sum of squares / sum of squared errors); infinite when nothing is lost. */
  readonly sqnrDb: number;
}

export async function halfError(chunks: Chunks<"float32">): Promise<HalfError> {
  let overflow = 0;
  let largest = 0;
  let signal = 0;
  let noise = 0;
  for await (const { data } of chunks) {
    const piece = halfStatistics(data);
    overflow += piece.overflow;
    largest = Math.max(largest, piece.largest);
    signal += piece.signal;
    noise += piece.noise;
  }
  return { overflow, largest, sqnrDb: noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise) };
}

/** Rounding to nearest leaves about 70 dB; what is below this has lost values to the ends of the format. */
const LEAST_SQNR = 50;

/** Why a tensor must not become float16, if it must not. */
export function misfit({ overflow, largest, sqnrDb }: HalfError): string | undefined {
  if (overflow > 0) return `${overflow} of its values are beyond float16 (largest ${largest.toPrecision(3)})`;
  if (sqnrDb < LEAST_SQNR)
    return `its values are too small for float16 (largest ${largest.toPrecision(3)}, ${sqnrDb.toFixed(0)} dB would be left)`;
  return undefined;
}
