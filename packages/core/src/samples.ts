import { failure } from "./diagnostic.ts";
import type { Values } from "./runtime.ts";

/** Inputs to run a model on. It can be opened as often as needed, and gives the same samples in the same order. */
export interface Samples {
  /** How many there are, when that is known. */
  readonly count?: number | undefined;
  open(signal?: AbortSignal): AsyncIterable<Values> | Iterable<Values>;
}

/**
 * Samples from an array, or from a function that starts an iteration anew. A bare iterator is refused: it could be
 * read once only.
 */
export function samplesFrom(
  source: readonly Values[] | ((signal?: AbortSignal) => AsyncIterable<Values> | Iterable<Values>),
  count?: number,
): Samples {
  if (Array.isArray(source)) return { count: source.length, open: () => source as readonly Values[] };
  if (typeof source !== "function")
    throw failure("core/samples-once", "samples can be read once only", { hint: "Give samplesFrom() a function." });
  return { count, open: source };
}

/** The first `count` samples. */
export const takeSamples = (samples: Samples, count: number): Samples => ({
  count: Math.min(count, samples.count ?? count),
  async *open(signal) {
    let n = 0;
    if (count > 0)
      for await (const sample of samples.open(signal)) {
        yield sample;
        if (++n >= count) return;
      }
  },
});
