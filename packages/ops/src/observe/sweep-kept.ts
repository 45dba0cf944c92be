import type { Host, Model, Observation, Statistics } from "@pare/core";
import { modelDigest, samplesDigest } from "./digest.ts";
import { type KeptStatistics, readKept, writeKept } from "./kept-statistics.ts";
import { statisticKey } from "./statistics.ts";

type Parts = Required<Pick<Host, "runtime" | "samples">>;

/** Gathers statistics, from what was gathered of the first samples on; `onSample` may look at the results so far. */
export type Sweep = (
  model: Model,
  wishes: readonly Observation[],
  parts: Parts,
  options: {
    readonly from?: KeptStatistics | undefined;
    readonly onSample?: (samples: number, results: () => Statistics) => Promise<void>;
  },
  signal?: AbortSignal,
) => Promise<Statistics>;

/** What of the statistics that a pass asked for was found in the store. */
export interface Reuse {
  readonly asked: number;
  readonly reused: number;
  /** Samples that had passed when an earlier run ended. */
  readonly resumedAfter: number;
  /** Why what was reused or resumed could be, and what was not could not. */
  readonly reason: string;
}

/** Version of what is kept and how statistics are computed: another one finds nothing of this. */
const VERSION = 1;
/** How often results so far are kept. */
const KEEP_MS = 5000;

/** Gathers what a store does not hold yet, and keeps it. */
export async function sweepKept(
  sweep: Sweep,
  model: Model,
  wishes: readonly Observation[],
  { runtime, samples, store }: Parts & Required<Pick<Host, "store">>,
  onReuse?: (reuse: Reuse) => void,
  signal?: AbortSignal,
): Promise<Statistics> {
  const [content, data, version] = [
    await modelDigest(model, signal),
    await samplesDigest(samples, signal),
    await runtime.version(),
  ];
  const engine = `${runtime.name} ${version}`;
  const name = (...parts: readonly string[]) => ["pare statistics", VERSION, ...parts].join("\n");
  const [ofModel, ofData, ofBoth] = [
    name("model", content),
    name("samples", data.digest),
    name("model", content, "samples", data.digest),
  ];
  const place = name("model", content, "samples", data.digest, "engine", engine);
  const kept = await readKept(store, place, signal);
  const known = new Set(kept?.asked);
  const asked = [...new Set(wishes.flatMap((w) => w.values.map((v) => statisticKey(w.statistic, v))))];
  const open = asked.filter((key) => !known.has(key));
  const missing = wishes
    .map((w) => ({ ...w, values: w.values.filter((v) => !known.has(statisticKey(w.statistic, v))) }))
    .filter((w) => w.values.length > 0);

  const partial = `${place}\npartial`;
  const begun = open.length === 0 ? undefined : await readKept(store, partial, signal);
  const from = begun && sameList(begun.asked, open) ? begun : undefined;
  onReuse?.({
    asked: asked.length,
    reused: asked.length - open.length,
    resumedAfter: from?.samples ?? 0,
    reason: await reasonOf(),
  });
  if (open.length === 0) return pick(kept!.statistics, asked);

  for (const mark of [ofModel, ofData, ofBoth]) await writeKept(store, mark, nothing, signal);
  let last = performance.now();
  const found = await sweep(
    model,
    missing,
    { runtime, samples },
    {
      from,
      async onSample(count, results) {
        if (performance.now() - last < KEEP_MS || count === data.count) return;
        await writeKept(store, partial, { asked: open, samples: count, statistics: results() }, signal);
        last = performance.now();
      },
    },
    signal,
  );
  const statistics = new Map([...(kept?.statistics ?? []), ...found]);
  await writeKept(store, place, { asked: [...known, ...open], samples: data.count, statistics }, signal);
  return pick(statistics, asked);

  async function reasonOf(): Promise<string> {
    if (open.length === 0) return "model, samples and statistics are those of an earlier run";
    const what = missing.map((w) => `${w.statistic} of ${w.values.length} values`).join(", ");
    if (from) return `an earlier run ended after ${from.samples} of ${data.count} samples`;
    if (kept) return `not asked for before: ${what}`;
    const seen = async (key: string) => (await readKept(store, key, signal)) !== undefined;
    if (await seen(ofBoth)) return `not measured with this engine before, ${engine}`;
    const [model, data_] = [await seen(ofModel), await seen(ofData)];
    if (model && data_) return "this model and these samples were measured before, but not together";
    if (model) return "these samples are new";
    return data_ ? "this model is new, or passes before it changed" : "this model and these samples are new";
  }
}

const nothing: KeptStatistics = { asked: [], samples: 0, statistics: new Map() };
const sameList = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((x, i) => x === b[i]);
const pick = (all: Statistics, keys: readonly string[]): Statistics =>
  new Map(keys.flatMap((key) => (all.has(key) ? [[key, all.get(key)!] as const] : [])));
