/** Running sums over pairs of numbers, of a fixed size however many pairs there are. */
export interface Sums {
  elements: number;
  equal: number;
  /** Of finite pairs: squares of the reference, of the other, of the difference, and products. */
  signal: number;
  other: number;
  noise: number;
  product: number;
  worst: number;
  /** Ranges of the finite values. */
  minA: number;
  maxA: number;
  minB: number;
  maxB: number;
  /** NaN and infinite values. */
  notFiniteA: number;
  notFiniteB: number;
  /** Pairs in which one is not finite and the other is not the same. */
  broken: number;
}

export const newSums = (): Sums => ({
  elements: 0,
  equal: 0,
  signal: 0,
  other: 0,
  noise: 0,
  product: 0,
  worst: 0,
  minA: Number.POSITIVE_INFINITY,
  maxA: Number.NEGATIVE_INFINITY,
  minB: Number.POSITIVE_INFINITY,
  maxB: Number.NEGATIVE_INFINITY,
  notFiniteA: 0,
  notFiniteB: 0,
  broken: 0,
});

/** Adds pairs of a reference and what was got in its place, of one length. */
export function addPairs(s: Sums, reference: ArrayLike<number>, got: ArrayLike<number>): void {
  let { equal, signal, other, noise, product, worst, minA, maxA, minB, maxB } = s;
  for (let i = 0; i < reference.length; i++) {
    const a = reference[i]!;
    const b = got[i]!;
    if (a - a === 0 && b - b === 0) {
      const d = a - b;
      if (d === 0) equal++;
      else {
        noise += d * d;
        if (d > worst) worst = d;
        else if (-d > worst) worst = -d;
      }
      signal += a * a;
      other += b * b;
      product += a * b;
      if (a < minA) minA = a;
      if (a > maxA) maxA = a;
      if (b < minB) minB = b;
      if (b > maxB) maxB = b;
    } else {
      if (a - a !== 0) s.notFiniteA++;
      if (b - b !== 0) s.notFiniteB++;
      if (Object.is(a, b)) equal++;
      else s.broken++;
    }
  }
  Object.assign(s, { equal, signal, other, noise, product, worst, minA, maxA, minB, maxB });
  s.elements += reference.length;
}

/** What the sums say. Every number is of the finite pairs, but for the counts. */
export interface ErrorFigures {
  readonly elements: number;
  /** 10 log10(sum of ref² / sum of (ref - got)²); infinite when no pair differs, -infinite when the reference is zero. */
  readonly sqnrDb: number;
  readonly maxAbsError: number;
  /** The worst error as a part of the reference's range. */
  readonly maxRelativeError: number;
  readonly cosine: number;
  /** Smallest and largest finite value. */
  readonly rangeA: readonly [number, number];
  readonly rangeB: readonly [number, number];
  readonly notFiniteA: number;
  readonly notFiniteB: number;
  /** Elements that are not finite in one of the two only, or not in the same way. */
  readonly broken: number;
  /** Share of elements that are equal, from 0 to 1. */
  readonly equalShare: number;
}

export function figuresOf(s: Sums): ErrorFigures {
  const span = s.maxA - s.minA;
  const finite = s.minA <= s.maxA;
  return {
    elements: s.elements,
    sqnrDb: s.noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(s.signal / s.noise),
    maxAbsError: s.worst,
    maxRelativeError: s.worst === 0 ? 0 : s.worst / (span > 0 ? span : Math.abs(s.maxA)),
    cosine: s.noise === 0 ? 1 : Math.max(-1, Math.min(1, s.product / Math.sqrt(s.signal * s.other || 1))),
    rangeA: finite ? [s.minA, s.maxA] : [0, 0],
    rangeB: finite ? [s.minB, s.maxB] : [0, 0],
    notFiniteA: s.notFiniteA,
    notFiniteB: s.notFiniteB,
    broken: s.broken,
    equalShare: s.elements === 0 ? 1 : s.equal / s.elements,
  };
}
