import {
  elementCount,
  failure,
  type Model,
  type Pass,
  type RunOptions,
  type Runtime,
  run,
  type Samples,
  type Statistics,
  type Store,
  type Target,
  takeSamples,
  viewOf,
} from "@pare/core";
import { gather, modelDigest, samplesDigest } from "@pare/ops/observe";
import { biasCorrection } from "../static/bias-correction.ts";
import { equalize } from "../static/equalize.ts";
import { int8 } from "../static/int8.ts";
import { planned, type QuantizationOptions, quantizationOptions } from "../static/int8-options.ts";
import {
  byWeight,
  type LayerFormat,
  passesFor,
  type Sensitivity,
  type WeightSensitivity,
} from "../static/layer-formats.ts";
import { int8Weights } from "../weights/int8-weights.ts";
import { dropJudge, type Judge, outputsOf, sqnr, sqnrJudge, type Verdict } from "./judge.ts";
import { type Keeping, keeping } from "./kept.ts";
import { linearOutputs } from "./linear-outputs.ts";
import type { Metric } from "./metric.ts";

/** What a result must reach on the guide: give `metric` with `maxDrop`, or `minSqnr`. */
export interface AutoFixOptions<A = unknown> {
  readonly target: Target;
  readonly runtime: Runtime;
  /** Samples that ranges are found on. */
  readonly samples: Samples;
  /** Samples that the search looks at. */
  readonly guide: Samples;
  readonly metric?: Metric<A>;
  /** Most that the metric may fall below the float model's, in percentage points. */
  readonly maxDrop?: number;
  /** Least SQNR in dB of each float output, over the guide. */
  readonly minSqnr?: number;
  /** Answers to `guide`, in the metric's form, where they are known; by default the float model's. */
  readonly references?: readonly A[];
  /** Options of `int8`. */
  readonly quantization?: Partial<QuantizationOptions>;
  /** Most trials on the guide. Default 32. */
  readonly budget?: number;
  /**
   * Where statistics are kept, see `gather` of `@pare/ops/observe`, which gathers them unless something else is given; what was measured
   * of layers, and trials too: a search that was killed goes on after the last.
   */
  readonly store?: Store;
  readonly gather?: NonNullable<RunOptions["gather"]>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string, done: number, total: number) => void;
}

export interface Trial extends Verdict {
  readonly formats: ReadonlyMap<string, LayerFormat>;
}

export interface AutoFixResult {
  readonly model: Model;
  /** What formats were given to: the source after `equalize`. */
  readonly base: Model;
  /** Of each layer by its output. */
  readonly formats: ReadonlyMap<string, LayerFormat>;
  /** The float model's score on the guide, in percent; missing where SQNR is judged by. */
  readonly reference?: number;
  readonly sensitivity: readonly Sensitivity[];
  /** In the order they were made. */
  readonly trials: readonly Trial[];
  /** Whether the result is good enough on the guide. */
  readonly within: boolean;
}

/** Samples that a layer's influence is measured on. */
const SENSITIVITY_SAMPLES = 8;

/**
 * Finds which layers must not be computed in integers for a metric to stay within `maxDrop`, or for outputs to keep `minSqnr`. Every
 * layer is measured alone. Then, with each trial measured on the guide: is all in integers good enough? If not, are all weights in int8,
 * with float32 activations? If not, in int8 with a scale for each block, or in 12 bits: of the first of these that is, as few layers as
 * suffice keep it, those first that lose most for its bytes. Last, the fewest layers are looked for that must compute in float32, in
 * the order of the harm they do. Layers are never tried one by one: that would pick what happens to suit the guide. A drop counts
 * as much as it may be on other samples, with 95 % confidence.
 * @throws PareError `quantize/no-scheme`, `quantize/no-samples`, `quantize/goal`, and what passes and the runtime throw
 */
export async function autoFix<A>(source: Model, options: AutoFixOptions<A>): Promise<AutoFixResult> {
  const { target, runtime, samples, budget = 32, signal } = options;
  const settings = quantizationOptions.parse({ rounding: "gptq", ...options.quantization });
  const stop = signal ? { signal } : {};
  const host = { target, runtime, samples, ...(options.store ? { store: options.store } : {}), ...stop };
  const gathering = options.gather ?? gather;
  const judge = await judgeOf(source, options);
  const keep = await keepingOf(source, options, judge, settings);
  // Not by smoothQuant: its factors come from few samples here, and on others the channels that were quiet overflow.
  const { model: base } = await run([equalize()], source, { ...host, gather: gathering });
  const { main } = viewOf(base);
  const { groups } = planned(base, settings, host);
  const layers = groups
    .filter((g) => g.operator.role === "compute")
    .map((g) => {
      const weight = g.node.inputs[g.operator.weight ?? 1]!;
      return {
        layer: g.node.outputs[0]!,
        op: g.node.op,
        weight,
        elements: elementCount(main.constant(weight)?.shape ?? []),
      };
    });
  const wishes = [int8(settings), biasCorrection(settings)].flatMap((p) => p.observe!(base, host));
  const statistics: Statistics = await gathering(base, wishes, host, signal ?? new AbortController().signal);
  const known: RunOptions = { ...host, gather: async () => statistics };
  const make = (passes: readonly Pass[], from = base) => run(passes, from, known);

  const few = takeSamples(samples, SENSITIVITY_SAMPLES);
  const linear = linearOutputs(base);
  const reference = await outputsOf(runtime, linear, few, signal);
  const alone = (name: string, pass: Pass) =>
    keep(`alone ${name}`, async () =>
      sqnr(reference, await outputsOf(runtime, (await make([pass], linear)).model, few, signal)),
    );
  const measuring = <T, R>(list: readonly T[], nameOf: (item: T) => string, measure: (item: T) => Promise<R>) =>
    inPairs(list, (item, i) => {
      options.onProgress?.(`measuring ${nameOf(item)}`, i, list.length);
      return measure(item);
    });
  let sensitivity: readonly Sensitivity[] = await measuring(
    layers,
    (l) => l.layer,
    async (l) => ({
      ...l,
      int8Db: await alone(`int8 ${l.layer}`, int8({ ...settings, include: [l.layer] })),
    }),
  );
  /** Measures weights too: that takes long, and is needed only where they must be raised. */
  const withWeights = (): Promise<WeightSensitivity[]> =>
    measuring(
      sensitivity,
      (s) => s.weight,
      async (s) => {
        const pass = int8Weights({ include: [s.weight], rounding: settings.rounding });
        return { ...s, weightDb: await alone(`weight ${s.weight}`, pass) };
      },
    );

  const byHarm = sensitivity.toSorted((a, b) => a.int8Db - b.int8Db);
  const trials: Trial[] = [];
  const passes = (formats: Trial["formats"]) => passesFor(formats, sensitivity, settings);
  /** Tries weights in formats above int8, and layers that compute in float32. */
  const attempt = async (weights: Raised, floats: readonly Sensitivity[]) => {
    const formats = new Map<string, LayerFormat>(layers.map((l) => [l.layer, "int8"]));
    for (const { layer } of floats) formats.set(layer, "int8 weights");
    for (const [layer, format] of weights) formats.set(layer, format);
    options.onProgress?.(`trial ${trials.length + 1}`, trials.length, budget);
    const verdict = await keep(`trial ${JSON.stringify([...formats])}`, async () =>
      judge.judge((await make(passes(formats))).model),
    );
    trials.push({ formats, ...verdict });
    return { formats, accepted: verdict.accepted, weights };
  };
  type Attempt = Awaited<ReturnType<typeof attempt>>;
  /** The least number above `rejected` that is accepted, up to `most`, which is as `known` shows or is tried first. */
  const least = async (most: number, at: (n: number) => Promise<Attempt>, known?: Attempt, rejected = 0) => {
    let found = known ?? (await at(most));
    if (!found.accepted) return found;
    for (let [low, high] = [rejected, most]; high - low > 1 && trials.length < budget; ) {
      const middle = (low + high) >> 1;
      const tried = await at(middle);
      if (tried.accepted) [found, high] = [tried, middle];
      else low = middle;
    }
    return found;
  };

  let result = await attempt(new Map(), []);
  if (!result.accepted) {
    // First no integer activations at all: that costs no bytes.
    result = await attempt(new Map(), byHarm);
    if (!result.accepted) {
      const measured = await withWeights();
      sensitivity = measured;
      const inTwelve = byWeight(measured);
      const at = (n: number) => attempt(raised(inTwelve.slice(0, n), "int12 weights"), byHarm);
      result = await least(inTwelve.length, at);
    }
    const { weights } = result;
    if (result.accepted) result = await least(byHarm.length, (n) => attempt(weights, byHarm.slice(0, n)), result);
  }
  const { model, report } = await make(passes(result.formats));
  const leftAlone = new Set(report.passes.flatMap((p) => p.skipped.map((s) => s.name)));
  const formats = new Map(result.formats);
  for (const { layer, weight } of layers)
    if (formats.get(layer) !== "int8" && leftAlone.has(weight)) formats.set(layer, "float32");
  return {
    model,
    base,
    formats,
    ...(judge.reference === undefined ? {} : { reference: judge.reference }),
    sensitivity,
    trials,
    within: result.accepted,
  };
}

/** Formats of layers that are above int8. */
type Raised = ReadonlyMap<string, LayerFormat>;
const raised = (layers: readonly Sensitivity[], format: LayerFormat): Raised =>
  new Map(layers.map(({ layer }) => [layer, format]));

/** Works on two at a time: while one model runs the next is made ready. */
async function inPairs<T, R>(list: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const rest = list.entries();
  const worker = async () => {
    for (const [i, item] of rest) results[i] = await work(item, i);
  };
  await Promise.all([worker(), worker()]);
  return results;
}

async function judgeOf<A>(source: Model, options: AutoFixOptions<A>): Promise<Judge> {
  const { runtime, guide, metric, maxDrop, minSqnr, references, signal } = options;
  if (minSqnr !== undefined && metric === undefined && maxDrop === undefined)
    return sqnrJudge(runtime, source, guide, minSqnr, signal);
  if (minSqnr === undefined && metric && maxDrop !== undefined)
    return dropJudge(runtime, source, metric, guide, maxDrop, references, signal);
  throw failure("quantize/goal", "it is not clear what a result must reach", {
    hint: "Give either a metric and maxDrop in percentage points, or minSqnr in dB.",
  });
}

async function keepingOf<A>(
  source: Model,
  { store, samples, guide, runtime, target, signal }: AutoFixOptions<A>,
  judge: Judge,
  settings: QuantizationOptions,
): Promise<Keeping> {
  if (!store) return (_, compute) => compute();
  const about = [
    await modelDigest(source, signal),
    (await samplesDigest(samples, signal)).digest,
    (await samplesDigest(guide, signal)).digest,
    [runtime.name, await runtime.version(), plain(target.quantization), settings, judge.key],
  ];
  return keeping(store, about, signal);
}

/** A target's tables and predicates as text. */
const plain = (scheme: Target["quantization"]): string =>
  JSON.stringify(scheme, (_, v) => (v instanceof Map ? [...v] : typeof v === "function" ? `${v}` : v));
