import {
  dataOf,
  type Model,
  operatorOf,
  type ResidentTensor,
  type Runtime,
  type Samples,
  type Statistics,
  type Store,
  type Target,
  viewOf,
} from "@pare/core";
import { gather, type Histogram, histogramOf, statisticKey } from "@pare/ops/observe";
import { schemeOf } from "../static/int8-options.ts";
import { beside, type Probe } from "./beside.ts";
import { type Remedy, remedyFor } from "./remedy.ts";

/** What quantization does to one layer, measured at the layer's own output. */
export interface LayerDiagnosis {
  /** The output of the layer's operator. */
  readonly layer: string;
  readonly op: string;
  /** SQNR in dB when this layer alone is quantized and all before it is not. */
  readonly aloneDb: number;
  /** The same when only its weights are. */
  readonly weightDb: number;
  /** SQNR in dB in the quantized model: with what came down from the layers before. */
  readonly accumulatedDb: number;
  /** Share of the numbers that it reads which lie outside the range of their codes. */
  readonly saturation?: number;
  /** The widest channel of what it reads over the median channel: how many codes most channels do without. */
  readonly rangeRatio?: number;
  /** Largest shift of the mean of a channel of its output, quantized alone, in units of the output's root mean square. */
  readonly biasShift?: number;
  /** Share of the power of its error that is such shifts. */
  readonly shiftShare?: number;
  /** What to try, where it harms more than it should. */
  readonly remedy?: Remedy;
}

/** How the output of a layer is distributed in the reference and in the quantized model. */
export interface Distribution {
  readonly layer: string;
  readonly before: Histogram;
  readonly after: Histogram;
}

export interface Diagnosis {
  /** Worst first: by the SQNR alone. */
  readonly layers: readonly LayerDiagnosis[];
  /** Of the worst. */
  readonly distributions: readonly Distribution[];
}

export interface DiagnoseOptions {
  /** Whose operators that compute are looked at. */
  readonly target: Target;
  readonly runtime: Runtime;
  readonly samples: Samples;
  /** How many of the worst layers' distributions are gathered. Default 0. */
  readonly distributions?: number;
  /** Where what is measured is kept, see `gather` of `@pare/ops/observe`. */
  readonly store?: Store;
  readonly signal?: AbortSignal;
}

/**
 * What quantization did to each layer that is computed with codes, on samples. `reference` is the model that `quantized` was
 * made from, after what rescales its values (`equalize`) and before what only makes up for rounding (`biasCorrection`).
 * Both run side by side with the measuring inside the graph, so that memory does not grow with samples. Powers are
 * averaged over samples: SQNR is `10 log10(mean of reference² / mean of error²)`.
 * @throws PareError `quantize/no-scheme`, `ops/no-samples`, and what the runtime throws
 */
export async function diagnose(reference: Model, quantized: Model, options: DiagnoseOptions): Promise<Diagnosis> {
  const { target, runtime, samples, store, signal, distributions = 0 } = options;
  const scheme = schemeOf(target);
  const { model, probes } = beside(reference, quantized, scheme);
  if (probes.length === 0) return { layers: [], distributions: [] };
  const host = { runtime, samples, ...(store ? { store } : {}) };
  const axes = new Map(viewOf(reference).main.graph.nodes.map((n) => [n.outputs[0]!, channelAxisOf(operatorOf(n))]));
  const axis = (p: Probe) => axes.get(p.layer) ?? -1;
  const powers = probes.flatMap((p) => [p.layer, p.alone, p.byWeight, p.accumulated, ...(p.cut ? [p.cut] : [])]);
  const found = await gather(
    model,
    [
      { values: powers, statistic: "mean-square" },
      ...probes.flatMap((p) => [
        { values: [p.alone], statistic: `channel-mean@${axis(p)}` },
        ...(p.reads === undefined ? [] : [{ values: [p.reads], statistic: `channel-absmax@${axis(p)}` }]),
      ]),
    ],
    host,
    signal,
  );
  const layers = probes
    .map((p) => layerOf(p, axis(p), found))
    .map((l) => ({ ...l, ...remedyFor(l) }))
    .sort((a, b) => a.aloneDb - b.aloneDb);
  const worst = layers.slice(0, distributions).map((l) => probes.find((p) => p.layer === l.layer)!);
  if (worst.length === 0) return { layers, distributions: [] };
  const values = worst.flatMap((p) => [p.layer, p.other]);
  const spread = await gather(model, [{ values, statistic: "histogram" }], host, signal);
  return {
    layers,
    distributions: worst.map((p) => ({
      layer: p.layer,
      before: histogramOf(spread, p.layer)!,
      after: histogramOf(spread, p.other)!,
    })),
  };
}

/** The axis of channels in what an operator reads and gives. */
const channelAxisOf = (op: string): number => (op.startsWith("Conv") ? 1 : -1);

function layerOf(p: Probe, axis: number, statistics: Statistics): LayerDiagnosis {
  const numbers = (statistic: string, value: string) => {
    const t = statistics.get(statisticKey(statistic, value));
    return t && (dataOf(t as ResidentTensor<"float32">) as Float32Array);
  };
  const power = (value: string) => numbers("mean-square", value)![0]!;
  const signal = power(p.layer);
  const db = (error: number) => (error === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / error));
  const shifts = numbers(`channel-mean@${axis}`, p.alone);
  const widths = p.reads === undefined ? undefined : numbers(`channel-absmax@${axis}`, p.reads);
  const alone = power(p.alone);
  return {
    layer: p.layer,
    op: p.op,
    aloneDb: db(alone),
    weightDb: db(power(p.byWeight)),
    accumulatedDb: db(power(p.accumulated)),
    ...(p.cut === undefined ? {} : { saturation: power(p.cut) }),
    ...(widths && widths.length > 1 ? { rangeRatio: ratioOf(widths) } : {}),
    ...(shifts && signal > 0
      ? {
          biasShift: Math.max(...shifts.map(Math.abs)) / Math.sqrt(signal),
          shiftShare: alone > 0 ? shifts.reduce((sum, s) => sum + s * s, 0) / shifts.length / alone : 0,
        }
      : {}),
  };
}

/** The widest over the median; of those that are not always zero. */
function ratioOf(widths: Float32Array): number {
  const alive = [...widths].filter((w) => w > 0).sort((a, b) => a - b);
  return alive.length === 0 ? 1 : alive.at(-1)! / alive[alive.length >> 1]!;
}
