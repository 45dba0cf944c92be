import { dataOf, failure, type ResidentTensor, type Samples, type Session, type Values } from "@pare/core";

/** How answers are judged: against labels, or against what the float model answered. */
export interface Metric<A = unknown> {
  readonly name: string;
  /** What people would say the outputs mean: a class, a text, a map. */
  readonly answer: (outputs: Values) => A;
  /** How right an answer is, from 0 to 1. Default: 1 when it equals the reference. */
  readonly score?: (answer: A, reference: A) => number;
}

const numbers = (t: ResidentTensor): ArrayLike<number> => dataOf(t) as unknown as ArrayLike<number>;
const first = (outputs: Values): ResidentTensor => {
  const t = Object.values(outputs)[0];
  if (!t) throw failure("quantize/no-output", "the model has no output to judge");
  return t;
};

/** The classes of largest score, along the last axis of the first output. */
export const top1: Metric<string> = {
  name: "top-1",
  answer(outputs) {
    const t = first(outputs);
    const all = numbers(t);
    const classes = t.shape.at(-1) ?? 1;
    const best: number[] = [];
    for (let from = 0; from < all.length; from += classes) {
      let at = 0;
      for (let c = 1; c < classes; c++) if (all[from + c]! > all[from + at]!) at = c;
      best.push(at);
    }
    return best.join();
  },
};

/** Cosine similarity of the first output, below zero as zero. */
export const cosine: Metric<ArrayLike<number>> = {
  name: "cosine",
  answer: (outputs) => numbers(first(outputs)),
  score(a, b) {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      ab += a[i]! * b[i]!;
      aa += a[i]! ** 2;
      bb += b[i]! ** 2;
    }
    return aa === 0 && bb === 0 ? 1 : Math.max(0, ab / Math.sqrt(aa * bb || 1));
  },
};

/** Intersection over union of where the first output is above a threshold. */
export const iou = (threshold = 0.5): Metric<ArrayLike<number>> => ({
  name: "IoU",
  answer: (outputs) => numbers(first(outputs)),
  score(a, b) {
    let [both, either] = [0, 0];
    for (let i = 0; i < a.length; i++) {
      const [x, y] = [a[i]! > threshold, b[i]! > threshold];
      if (x && y) both++;
      if (x || y) either++;
    }
    return either === 0 ? 1 : both / either;
  },
});

/** One less the character error rate of a decoded text: edits over the length of the reference. */
export const characters = (decode: (outputs: Values) => string): Metric<string> => ({
  name: "characters",
  answer: decode,
  score: (text, reference) => Math.max(0, 1 - edits(text, reference) / Math.max(1, reference.length)),
});

/** Levenshtein distance. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let k = 0; k < b.length; k++)
      next.push(Math.min(row[k]! + Number(a[i] !== b[k]), row[k + 1]! + 1, next[k]! + 1));
    row = next;
  }
  return row[b.length]!;
}

/** The answers of a model to samples, in order, one by one. */
export async function* answersOf<A>(
  metric: Metric<A>,
  session: Session,
  samples: Samples,
  signal: AbortSignal | undefined,
): AsyncGenerator<A> {
  const outputs = session.outputs.map((v) => v.name);
  for await (const sample of samples.open(signal))
    yield metric.answer(await session.run(sample, { outputs, ...(signal ? { signal } : {}) }));
}

/** The score of an answer, in percent. */
export const scoreOf = <A>({ score = equal }: Metric<A>, answer: A, reference: A): number =>
  100 * score(answer, reference);

export const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;

/** One-sided quantile of the normal distribution for 95 %. */
const Z = 1.645;

/**
 * What the mean of `drops`, in percentage points, is below with 95 % confidence: Wilson's bound where each is all or nothing
 * (Wilson 1927), otherwise by their standard error. No drop at all counts as none.
 */
export function upperBound(drops: readonly number[]): number {
  const n = drops.length;
  const average = mean(drops);
  if (drops.every((d) => d === 0)) return 0;
  if (drops.every((d) => d === 0 || d === 100)) {
    const p = average / 100;
    const half = Z * Math.sqrt((p * (1 - p)) / n + (Z * Z) / (4 * n * n));
    return (100 * (p + (Z * Z) / (2 * n) + half)) / (1 + (Z * Z) / n);
  }
  const variance = drops.reduce((sum, d) => sum + (d - average) ** 2, 0) / Math.max(1, n - 1);
  return average + Z * Math.sqrt(variance / n);
}

const equal = (a: unknown, b: unknown): number => Number(JSON.stringify(a) === JSON.stringify(b));
