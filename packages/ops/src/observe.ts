import {
  attr,
  edit,
  failure,
  type Host,
  type Model,
  node,
  type Observation,
  type ResidentTensor,
  type Statistics,
  tensor,
  type Values,
  value,
} from "@pare/core";

/** A statistic as operators that reduce a value inside the graph, and how those of two samples are joined. */
interface Reducer {
  /** Operators from the value to its reduction; the last reduces all axes to a scalar. */
  readonly operators: readonly string[];
  readonly join: (a: number, b: number) => number;
}

const reducers: ReadonlyMap<string, Reducer> = new Map([
  ["absmax", { operators: ["Abs", "ReduceMax"], join: Math.max }],
  ["max", { operators: ["ReduceMax"], join: Math.max }],
  ["min", { operators: ["ReduceMin"], join: Math.min }],
]);

/**
 * Gathers statistics of float32 values of the main graph over all samples, for `run(passes, model, { gather })`. They are reduced
 * inside the graph, so that one number for each value leaves the engine, and memory does not grow with samples.
 * @returns for each `value` a scalar float32 tensor under `statistic:value`
 * @throws PareError `ops/no-samples` when there is not one sample, `ops/statistic` for a statistic that is unknown
 */
export async function gather(
  model: Model,
  wishes: readonly Observation[],
  host: Host,
  signal?: AbortSignal,
): Promise<Statistics> {
  const { runtime, samples } = host;
  if (!runtime || !samples) return new Map();
  const reduced = new Map<string, { readonly key: string; readonly join: Reducer["join"] }>();
  const observed = edit(model, (e) => {
    const { main } = e.view;
    const outputs = [...main.graph.outputs];
    for (const { values, statistic } of wishes) {
      const reducer = reducers.get(statistic);
      if (!reducer)
        throw failure("ops/statistic", `no statistic is called ${statistic}`, {
          hint: `There are ${[...reducers.keys()].join(", ")}.`,
        });
      for (const v of values) {
        const key = statisticKey(statistic, v);
        let from = v;
        for (const op of reducer.operators) {
          const to = e.fresh(`${v}_${op}`);
          const attributes = op.startsWith("Reduce") ? { keepdims: attr.int(0) } : {};
          e.insert(main, [node(op, [from], [to], attributes)]);
          from = to;
        }
        outputs.push(value(from, "float32", []));
        reduced.set(from, { key, join: reducer.join });
      }
    }
    e.setGraph(main, { outputs });
  });
  const wanted = [...reduced.keys()];
  const totals = new Map<string, number>();
  const session = await runtime.prepare(observed, signal ? { signal } : {});
  try {
    for await (const sample of samples.open(signal)) {
      const got: Values = await session.run(sample, { outputs: wanted, ...(signal ? { signal } : {}) });
      for (const [name, { key, join }] of reduced) {
        const number = scalar(got[name]!);
        const before = totals.get(key);
        totals.set(key, before === undefined ? number : join(before, number));
      }
    }
  } finally {
    await session.close();
  }
  if (totals.size < reduced.size && reduced.size > 0)
    throw failure("ops/no-samples", "there is not one sample to gather statistics from");
  return new Map([...totals].map(([key, number]) => [key, tensor("float32", [], [number])]));
}

/** The key of a statistic of a value in what {@link gather} gives. */
export const statisticKey = (statistic: string, value: string): string => `${statistic}:${value}`;

const scalar = (t: ResidentTensor): number => new DataView(t.bytes.buffer, t.bytes.byteOffset).getFloat32(0, true);
