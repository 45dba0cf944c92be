import { type ResidentTensor, tensor } from "@pare/core";

/** Bins on each side of zero. */
const HALF = 1024;

/**
 * Counts of numbers in bins of one width, a power of two, with an edge at zero. When a number lies beyond the last bin
 * the width doubles and pairs of bins become one, so that nothing has to be known beforehand and the result does not
 * depend on the order of the numbers. At least 512 bins lie between zero and the largest magnitude.
 */
export interface Histogram {
  /** Width of a bin; 0 as long as there was nothing but zeros. */
  width: number;
  /** How many numbers were exactly zero; they are in no bin. */
  zeros: number;
  /** Bin `i` is from `(i - counts.length / 2) * width` until the next. */
  readonly counts: Float64Array;
  /** Sum of the squares of the numbers in each bin. */
  readonly squares: Float64Array;
}

export const histogram = (): Histogram => ({
  width: 0,
  zeros: 0,
  counts: new Float64Array(2 * HALF),
  squares: new Float64Array(2 * HALF),
});

/** Adds numbers; those that are not finite are left out. */
export function addNumbers(h: Histogram, numbers: Float32Array): void {
  let most = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!);
    if (magnitude > most && magnitude < Number.POSITIVE_INFINITY) most = magnitude;
  }
  widen(h, most);
  const { width, counts, squares } = h;
  for (let i = 0; i < numbers.length; i++) {
    const x = numbers[i]!;
    if (x === 0) h.zeros++;
    else if (Number.isFinite(x)) {
      const bin = Math.floor(x / width) + HALF;
      counts[bin]!++;
      squares[bin]! += x * x;
    }
  }
}

/** Doubles the width until `most` on either side has a bin. */
function widen(h: Histogram, most: number): void {
  if (most === 0) return;
  // A number of exactly `HALF * width` would be one beyond the last bin.
  const needed = 2 ** (Math.floor(Math.log2(most)) + 1) / HALF;
  if (h.width === 0) {
    h.width = needed;
    return;
  }
  for (; h.width < needed; h.width *= 2)
    for (const bins of [h.counts, h.squares])
      for (let side = 0; side < 2; side++) {
        // Towards zero pairs are joined: from HALF upwards, and from HALF - 1 downwards.
        const at = (i: number) => (side === 0 ? HALF + i : HALF - 1 - i);
        for (let i = 0; i < HALF; i++) bins[at(i)] = 2 * i < HALF ? bins[at(2 * i)]! + bins[at(2 * i + 1)]! : 0;
      }
}

/** As one tensor, `[width, zeros, counts…, squares…]`. */
export const writeHistogram = (h: Histogram): ResidentTensor =>
  tensor("float64", [2 + 2 * h.counts.length], Float64Array.of(h.width, h.zeros, ...h.counts, ...h.squares));

/** What {@link writeHistogram} wrote. */
export function readHistogram(t: ResidentTensor): Histogram {
  const numbers = new Float64Array(t.bytes.slice().buffer);
  const bins = (numbers.length - 2) / 2;
  const [counts, squares] = [numbers.slice(2, 2 + bins), numbers.slice(2 + bins)];
  return { width: numbers[0]!, zeros: numbers[1]!, counts, squares };
}
