import { attribute, failure } from "@pare/core";
import { nd, newData, numbersOf } from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int, intList, text } from "./rule.ts";

/** The output column of each n-gram of the pool that counts, by its length and items. */
function columnsOf(call: Call, pool: readonly number[], indexes: readonly number[]): ReadonlyMap<string, number> {
  const starts = intList(call, "ngram_counts")!;
  const [least, most] = [int(call, "min_gram_length", 1), int(call, "max_gram_length", 1)];
  const columns = new Map<string, number>();
  if (starts.some((s, i) => !(s >= (starts[i - 1] ?? 0) && s <= pool.length)))
    throw failure("ops/attribute", `TfIdfVectorizer: n-grams that start at [${starts}] of ${pool.length}`);
  let id = 0;
  for (const [i, start] of starts.entries()) {
    const length = i + 1;
    const end = starts[i + 1] ?? pool.length;
    for (let at = start; at + length <= end; at += length, id++)
      if (length >= least && length <= most) columns.set(pool.slice(at, at + length).join(), indexes[id]!);
  }
  return columns;
}

/** Counts n-grams of integers, with up to `max_skip_count` items left out between two; of strings there is no rule. */
const tfIdf: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [pool, indexes] = [intList(call, "pool_int64s"), intList(call, "ngram_indexes")];
  if (!pool || !indexes) throw failure("ops/attribute", "TfIdfVectorizer lacks its pool of integers");
  const columns = columnsOf(call, pool, indexes);
  const width = indexes.reduce((a, b) => Math.max(a, b), 0) + 1;
  const size = x.shape.at(-1) ?? 1;
  const [least, most] = [int(call, "min_gram_length", 1), int(call, "max_gram_length", 1)];
  const skips = int(call, "max_skip_count", 0);
  call.budget.spend(x.data.length * (most - least + 1) * (skips + 1) * most * 64);
  const shape = [...x.shape.slice(0, -1), width];
  const counts = newData("float32", shape) as Float64Array;
  const items = numbersOf(x);
  for (let row = 0; row * size < items.length; row++)
    for (let length = least; length <= most; length++)
      for (let step = 1; step <= (length === 1 ? 1 : skips + 1); step++)
        for (let first = 0; first + step * (length - 1) < size; first++) {
          const gram = Array.from({ length }, (_, k) => items[row * size + first + step * k]!);
          const column = columns.get(gram.join());
          if (column !== undefined) counts[row * width + column]!++;
        }
  const mode = text(call, "mode", "TF");
  const weights = attribute(call.node, "weights", "floats");
  const weighed = counts.map((n, i) => {
    const w = weights?.[i % width] ?? 1;
    return mode === "TF" ? n : mode === "IDF" ? (n > 0 ? w : 0) : w * n;
  });
  return [nd("float32", shape, weighed)];
};

export const ngrams: EvaluateRules = { TfIdfVectorizer: tfIdf };
