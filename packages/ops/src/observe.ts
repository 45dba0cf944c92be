import {
  edit,
  failure,
  type Host,
  type Model,
  type Observation,
  type Statistics,
  tensor,
  type ValueInfo,
  type Values,
  value,
} from "@pare/core";
import { inferTypes } from "./infer.ts";
import { checkedSamples } from "./observe/check-samples.ts";
import { modelDigest, samplesDigest } from "./observe/digest.ts";
import { type Histogram, readHistogram } from "./observe/histogram.ts";
import { type Place, type Statistic, statisticKey, statistics } from "./observe/statistics.ts";
import { type Reuse, type Sweep, sweepKept } from "./observe/sweep-kept.ts";

export { checkedSamples, type Histogram, modelDigest, type Reuse, samplesDigest, statisticKey };

/**
 * Gathers statistics of float32 values of the main graph over all samples, for `run(passes, model, { gather })`. They are
 * reduced inside the graph, so that few numbers for each value leave the engine, and memory does not grow with samples.
 *
 * Scalars: `absmax`, `min`, `max`, `mean-square`. Ranges `[min, max]`: `min-max` of all samples, `average-min-max` the mean of each
 * sample's. `histogram`: `[width, counts…]`, see {@link histogramOf}. For each index of an axis, written after an at sign:
 * `channel-absmax@1`, `channel-mean@-1`, `channel-mean-square@1`; and `gram@1`, the mean of `x xT` of the vectors along it. Samples weigh the same in means;
 * values whose rank (for `gram` whose length) is not known are left out of these.
 *
 * With a store results are kept under the content of model and samples, and found again; what was gathered when a run was
 * killed is, too, but for the last seconds. `onReuse` is told what was there and why the rest was not.
 * @returns for each value a tensor under {@link statisticKey}
 * @throws PareError `ops/no-samples` when there is not one sample, `ops/sample` see {@link checkedSamples}, `ops/statistic` for a statistic that is unknown
 */
export async function gather(
  model: Model,
  wishes: readonly Observation[],
  host: Host,
  signal?: AbortSignal,
  onReuse?: (reuse: Reuse) => void,
): Promise<Statistics> {
  const { runtime, samples, store } = host;
  if (!runtime || !samples) return new Map();
  const parts = { runtime, samples };
  if (!store || wishes.length === 0) return sweep(model, wishes, parts, {}, signal);
  return sweepKept(sweep, model, wishes, { ...parts, store }, onReuse, signal);
}

const sweep: Sweep = async (model, wishes, { runtime, samples }, { from, onSample }, signal) => {
  const stop = signal ? { signal } : {};
  const { observed, wanted } = observe(model, wishes);
  const running = new Map(
    Array.from(wanted, ([key, { values, start }]) => [
      key,
      { values, total: start(from?.statistics.get(key), from?.samples) },
    ]),
  );
  const results = () => new Map(Array.from(running, ([key, { total }]) => [key, total.result()]));
  const outputs = [...wanted.values()].flatMap((w) => w.values);
  const session = await runtime.prepare(observed, stop);
  let count = 0;
  const take = async (samples: number, got: Values) => {
    for (const { values, total } of running.values()) total.add(values.map((v) => got[v]!));
    await onSample?.(samples, results);
  };
  try {
    // The engine runs a sample while what it gave of the one before is added.
    let last: { readonly count: number; readonly got: Promise<Values> } | undefined;
    for await (const sample of checkedSamples(samples, model).open(signal)) {
      if (++count <= (from?.samples ?? 0)) continue;
      const got = session.run(sample, { outputs, ...stop });
      got.catch(() => {});
      if (last) await take(last.count, await last.got);
      last = { count, got };
    }
    if (last) await take(last.count, await last.got);
  } finally {
    await session.close();
  }
  if (count === 0 && wanted.size > 0)
    throw failure("ops/no-samples", "there is not one sample to gather statistics from");
  return results();
};

interface Wanted {
  /** Values that hold what one sample gives. */
  readonly values: readonly string[];
  readonly start: Statistic["start"];
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
        wanted.set(key, { values: made, start: found.start });
        for (const m of made) outputs.push(value(m, "float32"));
      }
    }
    e.setGraph(view, { outputs });
  });
  return { observed, wanted };
}

/**
 * The histogram that {@link gather} gathered: counts of a spread of numbers from each sample (about 16,384 of each value, all
 * of small ones) and of both ends of its range.
 */
export function histogramOf(statistics: Statistics, value: string): Histogram | undefined {
  const t = statistics.get(statisticKey("histogram", value));
  return t && readHistogram(t);
}
