import {
  edit,
  failure,
  type Host,
  type Model,
  type Observation,
  type Statistics,
  tensor,
  type ValueInfo,
  value,
} from "@pare/core";
import { inferTypes } from "./infer.ts";
import { checkedSamples } from "./observe/check-samples.ts";
import type { Histogram } from "./observe/histogram.ts";
import { type Accumulator, type Place, statistics } from "./observe/statistics.ts";

export { checkedSamples, type Histogram };

/**
 * Gathers statistics of float32 values of the main graph over all samples, for `run(passes, model, { gather })`. They are
 * reduced inside the graph, so that few numbers for each value leave the engine, and memory does not grow with samples.
 *
 * Scalars: `absmax`, `min`, `max`, `mean-square`. Ranges `[min, max]`: `min-max` of all samples, `average-min-max` the mean of each
 * sample's. `histogram`: `[width, counts…]`, see {@link histogramOf}. For each index of an axis, written after an at sign:
 * `channel-absmax@1`, `channel-mean@-1`; and `gram@1`, the mean of `x xT` of the vectors along it. Samples weigh the same in means;
 * values whose rank (for `gram` whose length) is not known are left out of these.
 * @returns for each value a tensor under {@link statisticKey}
 * @throws PareError `ops/no-samples` when there is not one sample, `ops/sample` see {@link checkedSamples}, `ops/statistic` for a statistic that is unknown
 */
export async function gather(
  model: Model,
  wishes: readonly Observation[],
  host: Host,
  signal?: AbortSignal,
): Promise<Statistics> {
  const { runtime, samples } = host;
  if (!runtime || !samples) return new Map();
  const stop = signal ? { signal } : {};
  const { observed, wanted } = observe(model, wishes);
  const outputs = [...wanted.values()].flatMap((w) => w.values);
  const session = await runtime.prepare(observed, stop);
  let count = 0;
  try {
    for await (const sample of checkedSamples(samples, model).open(signal)) {
      const got = await session.run(sample, { outputs, ...stop });
      for (const { values, total } of wanted.values()) total.add(values.map((v) => got[v]!));
      count++;
    }
  } finally {
    await session.close();
  }
  if (count === 0 && wanted.size > 0)
    throw failure("ops/no-samples", "there is not one sample to gather statistics from");
  return new Map([...wanted].map(([key, { total }]) => [key, total.result()]));
}

interface Wanted {
  /** Values that hold what one sample gives. */
  readonly values: readonly string[];
  readonly total: Accumulator;
}

/** The model with the operators that reduce, and what to fetch for each statistic. */
function observe(model: Model, wishes: readonly Observation[]) {
  const wanted = new Map<string, Wanted>();
  const types = inferTypes(model);
  const observed = edit(model, (e) => {
    const view = e.view.main;
    const outputs: ValueInfo[] = [...view.graph.outputs];
    const constants = new Map<string, string>();
    const shared = (name: string, shape: readonly number[], numbers: readonly number[]) => {
      const known = constants.get(name);
      if (known !== undefined) return known;
      const made = e.addWeight(view, e.fresh(`observe_${name}`), tensor("int64", shape, numbers.map(BigInt)));
      constants.set(name, made);
      return made;
    };
    for (const { values, statistic } of wishes) {
      const [name, axis = "0"] = statistic.split("@");
      const found = statistics.get(name!);
      if (!found)
        throw failure("ops/statistic", `no statistic is called ${statistic}`, {
          hint: `There are ${[...statistics.keys()].join(", ")}; an axis follows as in channel-mean@1.`,
        });
      for (const v of values) {
        const key = statisticKey(statistic, v);
        if (wanted.has(key)) continue;
        const type = types.of(view, v);
        const place: Place = {
          e,
          view,
          constant: (name, numbers) => shared(name, [numbers.length], numbers),
          scalar: (name, number) => shared(name, [], [number]),
          shape: type?.kind === "tensor" ? type.shape : undefined,
        };
        const made = found.reduce(v, place, Number(axis));
        if (typeof made === "string") continue;
        wanted.set(key, { values: made, total: found.start() });
        for (const m of made) outputs.push(value(m, "float32"));
      }
    }
    e.setGraph(view, { outputs });
  });
  return { observed, wanted };
}

/** The key of a statistic of a value in what {@link gather} gives. */
export const statisticKey = (statistic: string, value: string): string => `${statistic}:${value}`;

/**
 * The histogram that {@link gather} gathered: counts of a spread of numbers from each sample (about 16,384 of each value, all
 * of small ones) and of both ends of its range.
 */
export function histogramOf(statistics: Statistics, value: string): Histogram | undefined {
  const t = statistics.get(statisticKey("histogram", value));
  if (!t) return undefined;
  const numbers = new Float64Array(t.bytes.slice().buffer);
  const bins = (numbers.length - 2) / 2;
  const [counts, squares] = [numbers.slice(2, 2 + bins), numbers.slice(2 + bins)];
  return { width: numbers[0]!, zeros: numbers[1]!, counts, squares };
}
