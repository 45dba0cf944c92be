import { eachBlock, simd } from "./simd.ts";

/*
 * Sums are in float64 and in one order, with kernels or without, so that what is decided by them is decided alike
 * everywhere: in each block the elements of even index and those of odd index, then the two, then the blocks.
 */

/** Sum of magnitudes. */
export function absSum(data: Float32Array, w = simd()): number {
  let total = 0;
  eachBlock(w, data, (block) => {
    if (w) {
      w.absSum(block.byteLength);
      total += w.statistics[0]! + w.statistics[1]!;
    } else {
      const sum = [0, 0];
      for (let i = 0; i < block.length; i++) sum[i & 1]! += Math.abs(block[i]!);
      total += sum[0]! + sum[1]!;
    }
  });
  return total;
}

/** Elements that are zero. */
export function countZeros(data: Float32Array, w = simd()): number {
  let zeros = 0;
  if (w) {
    const counts = new Int32Array(w.statistics.buffer, w.statistics.byteOffset);
    eachBlock(w, data, (block) => {
      w.nonZeros(block.byteLength);
      zeros += block.length - (counts[0]! + counts[1]! + counts[2]! + counts[3]!);
    });
  } else for (let i = 0; i < data.length; i++) if (data[i] === 0) zeros++;
  return zeros;
}

/** What rounding to float16 does. */
export interface HalfStatistics {
  /** Sum of squares of the elements. */
  readonly signal: number;
  /** Sum of squares of the errors; infinite when elements overflow. */
  readonly noise: number;
  /** Largest magnitude, NaN left out. */
  readonly largest: number;
  /** Elements that become infinite, or were not finite. */
  readonly overflow: number;
}

export function halfStatistics(data: Float32Array, w = simd()): HalfStatistics {
  const s = { signal: 0, noise: 0, largest: 0, overflow: 0 };
  if (w) {
    const { statistics: f64 } = w;
    const largest = new Float32Array(f64.buffer, f64.byteOffset + 32, 4);
    const overflow = new Int32Array(f64.buffer, f64.byteOffset + 48, 4);
    eachBlock(w, data, (block) => {
      w.halfStatistics(block.byteLength);
      s.signal += f64[0]! + f64[1]!;
      s.noise += f64[2]! + f64[3]!;
      s.largest = Math.max(s.largest, ...largest);
      s.overflow += overflow[0]! + overflow[1]! + overflow[2]! + overflow[3]!;
    });
  } else
    eachBlock(w, data, (block) => {
      const signal = [0, 0];
      const noise = [0, 0];
      const back = new Float32Array(1);
      const bits = new Uint32Array(back.buffer);
      for (let i = 0; i < block.length; i++) {
        const v = Math.abs(block[i]!);
        back[0] = v;
        // To 10 bits of fraction; below the normal numbers to multiples of 2^-24.
        if (v < 2 ** -14) back[0] = Math.fround(v + 0.5) - 0.5;
        else bits[0] = (bits[0]! + 0xfff + ((bits[0]! >>> 13) & 1)) & 0xffffe000;
        if (v > s.largest) s.largest = v;
        if (!(v < 65520)) s.overflow++;
        signal[i & 1]! += v * v;
        noise[i & 1]! += (v - back[0]) ** 2;
      }
      s.signal += signal[0]! + signal[1]!;
      s.noise += noise[0]! + noise[1]!;
    });
  return { ...s, noise: s.overflow > 0 ? Number.POSITIVE_INFINITY : s.noise };
}

/** What rounding to whole multiples of `1 / factor` does. */
export interface FixedStatistics {
  /** Sum of squares of the elements. */
  readonly signal: number;
  /** Sum of squares of the errors. */
  readonly noise: number;
  /** Least and largest code `round(v * factor)`, ties to even; or 0. NaN left out. */
  readonly least: number;
  readonly largest: number;
  /** Codes below `low` or above `high`. */
  readonly beyond: number;
  /** Elements that are infinite or NaN. */
  readonly notFinite: number;
}

/** @param factor a power of two, so that multiplying is exact */
export function fixedStatistics(
  data: Float32Array,
  factor: number,
  low: number,
  high: number,
  w = simd(),
): FixedStatistics {
  const s = { signal: 0, noise: 0, least: 0, largest: 0, beyond: 0, notFinite: 0 };
  if (w) {
    const { statistics: f64 } = w;
    const counts = new Int32Array(f64.buffer, f64.byteOffset + 64, 8);
    eachBlock(w, data, (block) => {
      w.fixedStatistics(block.byteLength, factor, low, high);
      s.signal += f64[0]! + f64[1]!;
      s.noise += f64[2]! + f64[3]!;
      s.least = Math.min(s.least, f64[4]!, f64[5]!);
      s.largest = Math.max(s.largest, f64[6]!, f64[7]!);
      s.beyond += counts[0]! + counts[2]!;
      s.notFinite += counts[4]! + counts[6]!;
    });
  } else
    eachBlock(w, data, (block) => {
      const signal = [0, 0];
      const noise = [0, 0];
      for (let i = 0; i < block.length; i++) {
        const v = block[i]!;
        const exact = v * factor;
        const code = Math.abs(exact) < 2 ** 51 ? exact + ROUND - ROUND : exact;
        if (code < s.least) s.least = code;
        if (code > s.largest) s.largest = code;
        if (code < low || code > high) s.beyond++;
        if (!(Math.abs(v) < Number.POSITIVE_INFINITY)) s.notFinite++;
        signal[i & 1]! += v * v;
        noise[i & 1]! += (exact - code) ** 2;
      }
      s.signal += signal[0]! + signal[1]!;
      s.noise += noise[0]! + noise[1]!;
    });
  return { ...s, noise: s.noise / factor ** 2 };
}

/** Adding and subtracting 1.5 * 2^52 rounds a double to a whole number, ties to even (IEEE 754, for |x| < 2^51). */
export const ROUND = 6755399441055744;
