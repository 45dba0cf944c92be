import { type Chunks, failure } from "@pare/core";
import { minMax, type Ranges } from "@pare/ops/kernels";
import type { Layout } from "./layout.ts";

/** Ranges of the groups of a weight, in one sweep. */
export async function rangesOf(layout: Layout, chunks: Chunks<"float32">): Promise<Ranges> {
  const ranges = emptyRanges(layout.groups);
  for await (const { data, start } of chunks) minMax(data, layout.runs(start, data.length), ranges);
  return ranges;
}

/** Ranges of groups that nothing was seen of yet. */
export const emptyRanges = (groups: number): Ranges => ({
  min: new Float32Array(groups).fill(Number.POSITIVE_INFINITY),
  max: new Float32Array(groups).fill(Number.NEGATIVE_INFINITY),
});

/** Scale and zero point of each group: `value = (code - zeroPoint) * scale`. */
export interface Affine {
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
}

/** Lowest and highest code. */
export interface CodeLimits {
  readonly min: number;
  readonly max: number;
}

/** The codes of `bits` bits, as many on either side of zero where they are symmetric: engines count on that of weights. */
export const codeLimits = (bits: number, symmetric: boolean): CodeLimits => {
  const max = 2 ** (bits - 1) - 1;
  return { min: symmetric ? -max : -max - 1, max };
};

/**
 * The affine codes of ranges. Symmetric: zero point 0, the largest magnitude at the highest code. Otherwise the range, widened to
 * hold zero, over all codes within `limits`. A group of zeros has scale 1. (Jacob et al. 2018, arXiv:1712.05877.)
 * @throws PareError `quantize/not-finite` naming the weight
 */
export function affineOf({ min, max }: Ranges, limits: CodeLimits, symmetric: boolean, name: string): Affine {
  const scale = new Float32Array(min.length);
  const zeroPoint = new Int32Array(min.length);
  for (let g = 0; g < min.length; g++) {
    // They are NaN when any element was; the infinities of a group without elements are the wrong way round.
    if (!Number.isFinite(max[g]! - min[g]!) && !(min[g]! > max[g]!)) throw notFinite(name);
    const low = Math.min(0, min[g]!);
    const high = Math.max(0, max[g]!);
    const wide = symmetric ? Math.max(-low, high) / limits.max : (high - low) / (limits.max - limits.min);
    const s = Math.fround(wide);
    // A subnormal scale would lose the codes' precision, a zero one divides by zero.
    scale[g] = s >= 1.1754943508222875e-38 && s < Number.POSITIVE_INFINITY ? s : 1;
    if (!symmetric) zeroPoint[g] = Math.max(limits.min, Math.min(limits.max, Math.round(limits.min - low / scale[g]!)));
  }
  return { scale, zeroPoint };
}

const notFinite = (name: string) =>
  failure("quantize/not-finite", `the weight ${name} holds values that are not finite, which have no integer codes`, {
    location: { value: name },
    hint: "Leave it alone with exclude, or repair the model.",
  });
