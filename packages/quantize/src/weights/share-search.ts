import type { Ranges, Runs } from "@pare/ops/kernels";
import type { Affine, CodeLimits } from "./affine.ts";

/** Shares of a group's range that are tried: cutting the few largest elements pays for finer steps of all others. */
const SHARES = Array.from({ length: 17 }, (_, i) => 1 - i / 40);

/**
 * Finds for each group the scale and zero point under which codes, each the nearest, have the least squared error, of ranges
 * between 60 and 100 % of the group's own. All elements are shown to it once, in whatever pieces.
 */
export function shareSearch(affineOf: (ranges: Ranges) => Affine, ranges: Ranges, { min, max }: CodeLimits) {
  const groups = ranges.min.length;
  const tried = SHARES.map((share) => ({
    affine: affineOf({ min: ranges.min.map((x) => x * share), max: ranges.max.map((x) => x * share) }),
    errors: new Float64Array(groups),
  }));
  return {
    add(data: Float32Array, runs: Runs): void {
      for (const { affine, errors } of tried) {
        const { scale, zeroPoint } = affine;
        runs((from, to, group, width, offset) => {
          for (let i = from, k = offset; i < to; i++) {
            const g = group + k;
            const z = zeroPoint[g]!;
            const code = Math.max(min, Math.min(max, Math.round(data[i]! / scale[g]!) + z));
            const error = data[i]! - (code - z) * scale[g]!;
            errors[g]! += error * error;
            if (++k === width) k = 0;
          }
        });
      }
    },
    best(): Affine {
      const found: Affine = { scale: new Float32Array(groups), zeroPoint: new Int32Array(groups) };
      for (let g = 0; g < groups; g++) {
        const { affine } = tried.reduce((a, b) => (b.errors[g]! < a.errors[g]! ? b : a));
        found.scale[g] = affine.scale[g]!;
        found.zeroPoint[g] = affine.zeroPoint[g]!;
      }
      return found;
    },
  };
}
