import { dataOf, failure, type ResidentTensor, type Statistics } from "@pare/core";
import { type Histogram, histogramOf, statisticKey } from "@pare/ops/observe";

/** How the range of an activation is found in what samples show. */
export const calibrations = ["min-max", "average", "percentile", "mse", "entropy"] as const;
export type Calibration = (typeof calibrations)[number];

export interface Range {
  readonly min: number;
  readonly max: number;
}

export interface RangeOptions {
  readonly calibration: Calibration;
  /** Percent of the numbers that lie within, for `percentile`. */
  readonly percentile: number;
  /** Number of codes. */
  readonly levels: number;
  /** Whether zero is in the middle of the range. */
  readonly symmetric: boolean;
}

/** The statistic that a calibration is made from. */
export const statisticOf = (calibration: Calibration): string =>
  calibration === "min-max" ? "min-max" : calibration === "average" ? "average-min-max" : "histogram";

/**
 * The range of a value, which zero lies in: all of it (`min-max`), the mean of the samples' (`average`), what holds a
 * share of the numbers (`percentile`), what has the least squared error of rounding and cutting (`mse`), or what keeps the
 * distribution closest (`entropy`: Migacz 2017, "8-bit inference with TensorRT", among the ranges whose squared error is no
 * more than that of all). Undefined if nothing was gathered.
 * @throws PareError `quantize/not-finite` when the value is not finite on the samples
 */
export function rangeOf(statistics: Statistics, value: string, options: RangeOptions): Range | undefined {
  const { calibration } = options;
  const h = histogramOf(statistics, value);
  if (h) {
    if (h.width === 0) return { min: 0, max: 0 };
    if (calibration === "percentile") return percentileRange(h, options);
    return searchRange(h, options, calibration === "entropy" ? boundedDivergence(h, options) : squaredError);
  }
  const t = statistics.get(statisticKey(statisticOf(calibration), value));
  if (!t) return undefined;
  const [min, max] = dataOf(t as ResidentTensor<"float32">) as Float32Array;
  if (!Number.isFinite(min! + max!))
    throw failure("quantize/not-finite", `the value ${value} is not finite on the samples`, {
      location: { value },
      hint: "Look for NaN or huge numbers in the samples.",
    });
  return mirrored({ min: Math.min(0, min!), max: Math.max(0, max!) }, options.symmetric);
}

function mirrored({ min, max }: Range, symmetric: boolean): Range {
  const most = Math.max(-min, max);
  return symmetric ? { min: -most, max: most } : { min, max };
}

/** First and one after the last bin that hold something. */
function filled({ counts }: Histogram): { first: number; last: number } {
  let first = 0;
  let last = counts.length;
  while (first < last && counts[first] === 0) first++;
  while (last > first && counts[last - 1] === 0) last--;
  return { first: Math.min(first, counts.length / 2), last: Math.max(last, counts.length / 2) };
}

function percentileRange(h: Histogram, { percentile, symmetric }: RangeOptions): Range {
  const { counts, width } = h;
  const zero = counts.length / 2;
  const total = counts.reduce((a, b) => a + b, h.zeros);
  let { first, last } = filled(h);
  // What may lie outside is shared by both ends.
  const outside = (total * (1 - percentile / 100)) / 2;
  for (let cut = 0; first < zero; first++) if ((cut += counts[first]!) > outside) break;
  for (let cut = 0; last > zero; last--) if ((cut += counts[last - 1]!) > outside) break;
  return mirrored({ min: (first - zero) * width, max: (last - zero) * width }, symmetric);
}

/** Cost of quantizing what a histogram holds with codes over the bins from `from` until `to`. */
type Cost = (h: Histogram, from: number, to: number, levels: number) => number;

/** Steps in which each end is moved towards zero. */
const STEPS = 64;

/** Moves both ends together, then one after the other, to where the cost is least. */
function searchRange(h: Histogram, { levels, symmetric }: RangeOptions, cost: Cost): Range {
  const zero = h.counts.length / 2;
  let { first, last } = filled(h);
  if (symmetric) {
    const reach = Math.max(zero - first, last - zero);
    const best = least(reach, (r) => cost(h, zero - r, zero + r, levels));
    return mirrored({ min: -best * h.width, max: best * h.width }, true);
  }
  const [low, high] = [zero - first, last - zero];
  // Both ends together first: while one is far out, the other gains nothing by coming in.
  const share = (bins: number, t: number) => Math.ceil((bins * t) / STEPS);
  const together = least(STEPS, (t) => cost(h, zero - share(low, t), zero + share(high, t), levels));
  [first, last] = [zero - share(low, together), zero + share(high, together)];
  for (let round = 0; round < 2; round++) {
    last = zero + least(high, (r) => cost(h, first, zero + r, levels));
    first = zero - least(low, (r) => cost(h, zero - r, last, levels));
  }
  return { min: (first - zero) * h.width, max: (last - zero) * h.width };
}

/** The number of bins, from all of them down, at which a cost is least; the widest of equals. */
function least(reach: number, cost: (bins: number) => number): number {
  let best = reach;
  let lowest = Number.POSITIVE_INFINITY;
  for (let step = STEPS; step > 0; step--) {
    const bins = Math.ceil((reach * step) / STEPS);
    const c = cost(bins);
    if (c < lowest) {
      lowest = c;
      best = bins;
    }
  }
  return best;
}

const squaredError: Cost = ({ counts, squares, width }, from, to, levels) => {
  const step = ((to - from) * width) / (levels - 1);
  if (step === 0) return Number.POSITIVE_INFINITY;
  const zero = counts.length / 2;
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    const n = counts[i]!;
    if (n === 0) continue;
    const beyond = i < from ? (from - i - 0.5) * width : i >= to ? (i - to + 0.5) * width : 0;
    // What is nearer to zero than half a step becomes zero, and zeros are in no bin.
    const isZero = Math.max(Math.abs(i - zero), Math.abs(i + 1 - zero)) * width <= step / 2;
    sum += beyond > 0 ? n * beyond * beyond : isZero ? squares[i]! : (n * step * step) / 12;
  }
  return sum;
};

/**
 * The divergence, of ranges that lose no more by cutting than they gain by finer steps. Divergence counts how often numbers
 * occur, not how far off they end up: where most of an input is background, it would cut what stands out from it.
 */
function boundedDivergence(h: Histogram, { levels, symmetric }: RangeOptions): Cost {
  const [zero, { first, last }] = [h.counts.length / 2, filled(h)];
  const reach = Math.max(zero - first, last - zero);
  const [low, high] = symmetric ? [zero - reach, zero + reach] : [first, last];
  const most = squaredError(h, low, high, levels);
  return (_, from, to) =>
    squaredError(h, from, to, levels) > most ? Number.POSITIVE_INFINITY : divergence(h, from, to, levels);
}

/** Kullback-Leibler divergence of the cut distribution from what the codes leave of it. */
const divergence: Cost = ({ counts }, from, to, levels) => {
  const length = to - from;
  if (length <= 0) return Number.POSITIVE_INFINITY;
  const cut = Float64Array.from(counts.subarray(from, to));
  for (let i = 0; i < from; i++) cut[0]! += counts[i]!;
  for (let i = to; i < counts.length; i++) cut[length - 1]! += counts[i]!;
  const inside = counts.subarray(from, to);
  const total = cut.reduce((a, b) => a + b, 0);
  const kept = inside.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (let code = 0; code < Math.min(levels, length); code++) {
    const start = Math.floor((code * length) / Math.min(levels, length));
    const end = Math.floor(((code + 1) * length) / Math.min(levels, length));
    let mass = 0;
    let bins = 0;
    for (let i = start; i < end; i++) {
      mass += inside[i]!;
      if (cut[i]! > 0) bins++;
    }
    for (let i = start; i < end; i++) {
      if (cut[i] === 0) continue;
      const p = cut[i]! / total;
      const q = Math.max(mass / bins / kept, 1e-12);
      sum += p * Math.log(p / q);
    }
  }
  return sum;
};
