import { dataOf, failure, type Model, type ResidentTensor, type Runtime, type Samples, type Values } from "@pare/core";
import { answersOf, type Metric, mean, scoreOf, upperBound } from "./metric.ts";

/** What a model came to on the samples of the guide. */
export interface Verdict {
  /** Mean drop of the metric, in percentage points, where that is what counts. */
  readonly drop?: number;
  /** What the drop is below with 95 % confidence, see {@link upperBound}. */
  readonly bound?: number;
  /** Least SQNR in dB of the float outputs, where that is what counts. */
  readonly sqnrDb?: number;
  /** How many samples of the guide were looked at: all, unless it was clear before that it is too far off. */
  readonly samples: number;
  readonly accepted: boolean;
}

export interface Judge {
  /** Says what is judged by: equal for judges that would say the same of the same model and guide. */
  readonly key: string;
  /** The float model's score on the guide in percent, where a metric is judged by. */
  readonly reference?: number;
  readonly judge: (model: Model) => Promise<Verdict>;
}

/** Accepts what falls at most `maxDrop` percentage points below the float model. */
export async function dropJudge<A>(
  runtime: Runtime,
  source: Model,
  metric: Metric<A>,
  guide: Samples,
  maxDrop: number,
  given: readonly A[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Judge> {
  const answers = await all(judged(runtime, source, metric, guide, signal));
  if (answers.length === 0) throw failure("quantize/no-samples", "the guide has not one sample to judge by");
  const references = given ?? answers;
  const best = answers.map((a, i) => scoreOf(metric, a, references[i]!));
  return {
    key: JSON.stringify([maxDrop, metric.name, `${metric.answer}`, `${metric.score}`, answers, references]),
    reference: mean(best),
    async judge(model) {
      const drops: number[] = [];
      // The rest of the guide is left out once it cannot help any more.
      const hopeless = () =>
        upperBound([...drops, ...new Array<number>(answers.length - drops.length).fill(0)]) > maxDrop;
      for await (const answer of judged(runtime, model, metric, guide, signal)) {
        const i = drops.length;
        drops.push(best[i]! - scoreOf(metric, answer, references[i]!));
        if (drops[i]! > 0 && hopeless()) break;
      }
      const bound = upperBound(drops);
      const accepted = drops.length === answers.length && bound <= maxDrop;
      return { drop: mean(drops), bound, samples: drops.length, accepted };
    },
  };
}

/** Accepts what leaves each float output at least `minSqnr` dB of SQNR over the whole guide. */
export const sqnrJudge = (
  runtime: Runtime,
  source: Model,
  guide: Samples,
  minSqnr: number,
  signal: AbortSignal | undefined,
): Judge => ({
  key: JSON.stringify(["sqnr", minSqnr]),
  async judge(model) {
    const sum = noiseSum();
    let samples = 0;
    const references = judged(runtime, source, outputs, guide, signal);
    const results = judged(runtime, model, outputs, guide, signal);
    try {
      // Side by side, so that memory does not grow with the guide.
      for await (const reference of references) {
        const result = await results.next();
        sum.add(reference, result.value as Values);
        samples++;
      }
    } finally {
      await results.return(undefined);
    }
    if (samples === 0) throw failure("quantize/no-samples", "the guide has not one sample to judge by");
    const sqnrDb = sum.db();
    return { sqnrDb, samples, accepted: sqnrDb >= minSqnr };
  },
});

/** How much worse `result` does than `source` on samples, judged by what `source` answers. */
export async function measureDrop<A>(
  runtime: Runtime,
  metric: Metric<A>,
  source: Model,
  result: Model,
  samples: Samples,
  signal?: AbortSignal,
): Promise<{ readonly drop: number; readonly bound: number; readonly samples: number }> {
  const references = await all(judged(runtime, source, metric, samples, signal));
  const answers = await all(judged(runtime, result, metric, samples, signal));
  if (answers.length === 0) throw failure("quantize/no-samples", "there is not one sample to judge by");
  const drops = answers.map((a, i) => 100 - scoreOf(metric, a, references[i]!));
  return { drop: mean(drops), bound: upperBound(drops), samples: drops.length };
}

/** @throws PareError `quantize/no-samples` */
export async function outputsOf(
  runtime: Runtime,
  model: Model,
  samples: Samples,
  signal?: AbortSignal,
): Promise<Values[]> {
  const found = await all(judged(runtime, model, outputs, samples, signal));
  if (found.length === 0) throw failure("quantize/no-samples", "there is not one sample");
  return found;
}

/** Least SQNR in dB of the float outputs. */
export function sqnr(reference: readonly Values[], got: readonly Values[]): number {
  const sum = noiseSum();
  reference.forEach((values, i) => void sum.add(values, got[i]!));
  return sum.db();
}

const outputs: Metric<Values> = { name: "outputs", answer: (values) => values };

/** What is exact counts as so many dB, and what is not a number as less than nothing, so that results are finite. */
const EXACT_DB = 300;
const decibels = (signal: number, noise: number) => {
  const db = noise === 0 ? EXACT_DB : 10 * Math.log10(signal / noise);
  return Number.isNaN(db) ? -EXACT_DB : Math.max(-EXACT_DB, Math.min(EXACT_DB, db));
};

function noiseSum() {
  const sums = new Map<string, { signal: number; noise: number }>();
  return {
    add(reference: Values, got: Values): void {
      for (const [name, t] of Object.entries(reference)) {
        if (t.dtype !== "float32") continue;
        const a = dataOf(t as ResidentTensor<"float32">);
        const b = dataOf(got[name] as ResidentTensor<"float32">);
        const sum = sums.get(name) ?? { signal: 0, noise: 0 };
        for (let k = 0; k < a.length; k++) {
          sum.signal += a[k]! ** 2;
          sum.noise += (a[k]! - b[k]!) ** 2;
        }
        sums.set(name, sum);
      }
    },
    /** The least of all outputs. */
    db: () => Math.min(EXACT_DB, ...Array.from(sums.values(), ({ signal, noise }) => decibels(signal, noise))),
  };
}

async function* judged<A>(runtime: Runtime, model: Model, metric: Metric<A>, samples: Samples, signal?: AbortSignal) {
  const session = await runtime.prepare(model, signal ? { signal } : {});
  try {
    yield* answersOf(metric, session, samples, signal);
  } finally {
    await session.close();
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
