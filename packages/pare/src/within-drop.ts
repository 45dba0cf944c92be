import { failure, type Model, type Runtime, type Samples, samplesFrom, type Target, takeSamples } from "@pare/core";
import { type AutoFixOptions, type AutoFixResult, autoFix, type Metric, measureDrop } from "@pare/quantize";

export interface WithinDropOptions<A> extends Pick<AutoFixOptions<A>, "store" | "gather"> {
  readonly target: Target;
  readonly runtime: Runtime;
  readonly samples: Samples;
  readonly metric: Metric<A>;
  readonly maxDrop: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string, done: number, total: number) => void;
}

/** What a search found, and what it is worth on samples that the search has not seen. */
export interface WithinDrop extends AutoFixResult {
  readonly metric: string;
  /** Drop in percentage points on the samples that were kept back, what it is below with 95 % confidence, and their number. */
  readonly held: { readonly drop: number; readonly bound: number; readonly samples: number };
}

/** Most samples that ranges are found on. */
const CALIBRATE = 128;

/**
 * Quantizes for a target as far as a metric allows: every other sample guides the search, and the rest judge what it found.
 * @throws PareError `pare/samples` when there are fewer than four, `pare/max-drop` when nothing is within the drop
 */
export async function withinDrop<A>(model: Model, options: WithinDropOptions<A>): Promise<WithinDrop> {
  const { samples, metric, maxDrop, runtime, signal } = options;
  const guide = everyOther(samples, 0);
  const held = everyOther(samples, 1);
  const found = await autoFix(model, { ...options, samples: takeSamples(guide, CALIBRATE), guide });
  if (!found.within)
    throw failure("pare/max-drop", `nothing was found within a drop of ${maxDrop} percentage points`, {
      hint: "Allow a larger drop, or give more samples: a drop counts as high as it may be on others.",
    });
  const judged = await measureDrop(runtime, metric, model, found.model, held, signal);
  return { ...found, metric: metric.name, held: judged };
}

function everyOther(samples: Samples, first: number): Samples {
  return samplesFrom(
    async function* (signal) {
      let i = 0;
      for await (const sample of samples.open(signal)) if (i++ % 2 === first) yield sample;
    },
    samples.count === undefined ? undefined : Math.ceil((samples.count - first) / 2),
  );
}
