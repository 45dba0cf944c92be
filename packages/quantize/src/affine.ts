import { type Chunks, failure, type StorageOf } from "@pare/core";
import type { Layout } from "./layout.ts";

/** Integer formats of weight codes. */
export const codeFormats = {
  int4: { bits: 4, min: -8, max: 7 },
  int8: { bits: 8, min: -128, max: 127 },
  int16: { bits: 16, min: -32768, max: 32767 },
  int32: { bits: 32, min: -2147483648, max: 2147483647 },
} as const;
export type CodeFormat = keyof typeof codeFormats;

/** Adding and subtracting 1.5 * 2^52 rounds a double to a whole number, ties to even (IEEE 754, for |x| < 2^51). */
export const ROUND = 6755399441055744;

/** Smallest and largest value of each group; infinities the wrong way round without elements, NaN when one is among them. */
export interface Ranges {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/** Ranges of the groups of a weight, in one sweep. */
export async function rangesOf(layout: Layout, chunks: Chunks<"float32">): Promise<Ranges> {
  const min = new Float32Array(layout.groups).fill(Number.POSITIVE_INFINITY);
  const max = new Float32Array(layout.groups).fill(Number.NEGATIVE_INFINITY);
  for await (const { data, start } of chunks)
    layout.runs(start, data.length, (from, to, group, step) => {
      if (step === 0) {
        let low = min[group]!;
        let high = max[group]!;
        for (let i = from; i < to; i++) {
          const v = data[i]!;
          if (v < low || Number.isNaN(v)) low = v;
          if (v > high) high = v;
        }
        min[group] = low;
        max[group] = high;
      } else
        for (let i = from, g = group; i < to; i++, g++) {
          const v = data[i]!;
          if (v < min[g]! || Number.isNaN(v)) min[g] = v;
          if (v > max[g]!) max[g] = v;
        }
    });
  return { min, max };
}

/** Scale and zero point of each group: `value = (code - zeroPoint) * scale`. */
export interface Affine {
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

/**
 * The affine codes of ranges. Symmetric: zero point 0, the largest magnitude at `max`. Otherwise the range, widened to
 * hold zero, over all codes. A group of zeros has scale 1. (Jacob et al. 2018, arXiv:1712.05877.)
 * @throws PareError `quantize/not-finite` naming the weight
 */
export function affineOf({ min, max }: Ranges, format: CodeFormat, symmetric: boolean, name: string): Affine {
  const { min: lowest, max: highest } = codeFormats[format];
  const scale = new Float32Array(min.length);
  const zeroPoint = new Int32Array(min.length);
  for (let g = 0; g < min.length; g++) {
    // Min is NaN when any element was; the infinities of a group without elements are the wrong way round.
    if (!Number.isFinite(max[g]! - min[g]!) && !(min[g]! > max[g]!)) throw notFinite(name);
    const low = Math.min(0, min[g]!);
    const high = Math.max(0, max[g]!);
    const wide = symmetric ? Math.max(-low, high) / highest : (high - low) / (highest - lowest);
    const s = Math.fround(wide);
    // A subnormal scale would lose the codes' precision, a zero one divides by zero.
    scale[g] = s >= 1.1754943508222875e-38 && s < Number.POSITIVE_INFINITY ? s : 1;
    if (!symmetric) zeroPoint[g] = Math.max(lowest, Math.min(highest, Math.round(lowest - low / scale[g]!)));
  }
  return { scale, zeroPoint };
}

const notFinite = (name: string) =>
  failure("quantize/not-finite", `the weight ${name} holds values that are not finite, which have no integer codes`, {
    location: { value: name },
    hint: "Leave it alone with exclude, or repair the model.",
  });

/** Codes of a piece: `saturate(round(value / scale) + zeroPoint)`, ties to even, as QuantizeLinear defines it. */
export function quantizePiece<F extends CodeFormat>(
  format: F,
  layout: Layout,
  { scale, zeroPoint }: Affine,
  data: Float32Array,
  start: number,
): StorageOf<F> {
  const { bits, min, max } = codeFormats[format];
  const codes = bits === 32 ? new Int32Array(data.length) : bits === 16 ? new Int16Array(data.length) : new Int8Array(data.length);
  layout.runs(start, data.length, (from, to, group, step) => {
    if (step === 0) {
      const inverse = 1 / scale[group]!;
      const zero = zeroPoint[group]!;
      for (let i = from; i < to; i++) {
        const q = data[i]! * inverse + ROUND - ROUND + zero;
        codes[i] = q < min ? min : q > max ? max : q;
      }
    } else
      for (let i = from, g = group; i < to; i++, g++) {
        const q = data[i]! / scale[g]! + ROUND - ROUND + zeroPoint[g]!;
        codes[i] = q < min ? min : q > max ? max : q;
      }
  });
  return (bits === 4 ? packNibbles(codes as Int8Array) : codes) as StorageOf<F>;
}

/** Two codes a byte, the first in the low half. */
export function packNibbles(codes: Int8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < codes.length; i++) packed[i >> 1]! |= (codes[i]! & 15) << ((i & 1) * 4);
  return packed;
}
