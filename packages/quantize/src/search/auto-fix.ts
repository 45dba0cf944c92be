import {
  elementCount,
  failure,
  type Model,
  type Pass,
  type Report,
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
import { int12Weights } from "../weights/int12-weights.ts";
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
 * with float32 activations? If not, as few of them as suffice get 12 bits, those first that lose most for the bytes. Last, of the
 * layers with int8 weights as few as suffice compute in float32, in the order of the harm they do. Layers are never tried one by
 * one: that would pick what happens to suit the guide. A drop counts as much as it may be on other samples, with 95 % confidence.
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
  /** Tries weights in 12 bits, and of the other layers some that compute in float32. */
  const attempt = async (twelve: readonly Sensitivity[], floats: readonly Sensitivity[]) => {
    const formats = new Map<string, LayerFormat>(layers.map((l) => [l.layer, "int8"]));
    for (const { layer } of floats) formats.set(layer, "int8 weights");
    for (const { layer } of twelve) formats.set(layer, "int12 weights");
    options.onProgress?.(`trial ${trials.length + 1}`, trials.length, budget);
    const verdict = await keep(`trial ${JSON.stringify([...formats])}`, async () =>
      judge.judge((await make(passes(formats))).model),
    );
    trials.push({ formats, ...verdict });
    return { formats, accepted: verdict.accepted, twelve };
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

  let result = await attempt([], []);
  if (!result.accepted) {
    // First no integer activations at all: that costs no bytes.
    result = await attempt([], byHarm);
    if (!result.accepted) {
      const measured = await withWeights();
      sensitivity = measured;
      const inOrder = byWeight(measured);
      result = await least(inOrder.length, (n) => attempt(inOrder.slice(0, n), byHarm));
    }
    const { twelve } = result;
    const raised = new Set(twelve.map((s) => s.layer));
    const rest = byHarm.filter((s) => !raised.has(s.layer));
    // That none of all layers computes in float32 was tried first.
    if (result.accepted)
      result = await least(rest.length, (n) => attempt(twelve, rest.slice(0, n)), result, raised.size > 0 ? -1 : 0);
  }
  const { model, report } = await make(passes(result.formats));
  return {
    model,
    base,
    formats: withLeftAlone(result.formats, layers, report),
    ...(judge.reference === undefined ? {} : { reference: judge.reference }),
    sensitivity,
    trials,
    within: result.accepted,
  };
}

/** The formats, with float32 for layers whose weights the passes left alone. */
function withLeftAlone(
  formats: Trial["formats"],
  layers: readonly { readonly layer: string; readonly weight: string }[],
  { passes }: Report,
): Map<string, LayerFormat> {
  const storing = [int8Weights.passName, int12Weights.passName];
  const alone = new Set(passes.flatMap((p) => (storing.includes(p.pass) ? p.skipped.map((s) => s.name) : [])));
  return new Map(layers.map(({ layer, weight }) => [layer, alone.has(weight) ? "float32" : formats.get(layer)!]));
}

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
