import type { Pair } from "./pairs.ts";

/** Pairs to fetch in one run; `done` is told the bytes they took, by which later slices are cut. */
export interface Slice {
  readonly pairs: readonly Pair[];
  done(bytes: ReadonlyMap<Pair, number>): void;
}

/**
 * Cuts pairs into slices that stay under a budget of bytes. Sizes are learnt as values come: one of which nothing is
 * known is taken to be as large as the largest seen, and the first comes alone.
 */
export function tapSlices(pairs: readonly Pair[], budget: number): () => Generator<Slice> {
  const sizes = new Map<Pair, number>();
  let largest = budget;
  let seen = 0;
  return function* () {
    for (let i = 0; i < pairs.length; ) {
      const slice: Pair[] = [];
      for (let bytes = 0; i < pairs.length; i++) {
        bytes += sizes.get(pairs[i]!) ?? largest;
        if (slice.length > 0 && bytes > budget) break;
        slice.push(pairs[i]!);
      }
      yield {
        pairs: slice,
        done(taken) {
          for (const [p, n] of taken) {
            sizes.set(p, Math.max(n, sizes.get(p) ?? 0));
            seen = Math.max(seen, n);
          }
          if (seen > 0) largest = seen;
        },
      };
    }
  };
}
