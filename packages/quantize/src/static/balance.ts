import type { Runs } from "@pare/ops/kernels";
import type { Affine, CodeLimits } from "../weights/affine.ts";
import type { CodeArray } from "../weights/codes.ts";

/** Steps into which rounding errors, up to half a code, are sorted. */
const BINS = 32;

/**
 * Moves a few codes by one, in place, so that the rounding errors of each group's elements in this piece add up to half a
 * code at most: those whose value lay nearest to the middle between two codes. What reads the weight mostly has inputs of
 * one sign, and a sum of errors that is not zero then shifts its whole output. (The channel-wise step of SQuant, Guo et
 * al. 2022, arXiv:2202.07471.)
 */
export function balance(
  codes: CodeArray,
  data: Float32Array,
  runs: Runs,
  { scale, zeroPoint }: Affine,
  { min, max }: CodeLimits,
): void {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  runs((_from, _to, group, width) => {
    first = Math.min(first, group);
    last = Math.max(last, group + width);
  });
  const groups = Math.max(0, last - first);
  const sums = new Float64Array(groups);
  /** Errors of each group by size: those below zero, then those above. */
  const counts = new Int32Array(groups * 2 * BINS);
  const binOf = (error: number) => Math.min(BINS - 1, Math.trunc(Math.abs(error) * 2 * BINS)) + (error > 0 ? BINS : 0);
  const errorOf = (i: number, g: number) => codes[i]! - zeroPoint[g]! - data[i]! / scale[g]!;
  /** Whether a code may move so that its error changes sides. */
  const canMove = (i: number, error: number) => (error > 0 ? codes[i]! > min : codes[i]! < max);

  runs((from, to, group, width, offset) => {
    for (let i = from, k = offset; i < to; i++) {
      const g = group + k;
      const error = errorOf(i, g);
      sums[g - first]! += error;
      if (canMove(i, error)) counts[(g - first) * 2 * BINS + binOf(error)]!++;
      if (++k === width) k = 0;
    }
  });

  /** For each group the bin from which errors are moved, how many of that bin, and by what; a step of 0 moves none. */
  const bins = new Int32Array(groups);
  const rest = new Int32Array(groups);
  const steps = new Int8Array(groups);
  for (let g = 0; g < groups; g++) {
    let needed = Math.abs(Math.round(sums[g]!));
    if (!(needed > 0)) continue;
    const above = sums[g]! > 0 ? BINS : 0;
    steps[g] = above ? -1 : 1;
    let bin = above + BINS - 1;
    for (; bin > above && counts[g * 2 * BINS + bin]! < needed; bin--) needed -= counts[g * 2 * BINS + bin]!;
    bins[g] = bin;
    rest[g] = needed;
  }

  runs((from, to, group, width, offset) => {
    for (let i = from, k = offset; i < to; i++) {
      const g = group + k - first;
      if (++k === width) k = 0;
      const step = steps[g]!;
      if (step === 0) continue;
      const error = errorOf(i, g + first);
      if (error > 0 !== step < 0 || !canMove(i, error)) continue;
      const bin = binOf(error);
      if (bin < bins[g]! || (bin === bins[g] && rest[g]!-- <= 0)) continue;
      codes[i]! += step;
    }
  });
}
