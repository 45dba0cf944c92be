import {
  dataOf,
  elementCount,
  failure,
  type Model,
  type Pass,
  type ResidentTensor,
  type RunOptions,
  type Runtime,
  run,
  type Samples,
  type Statistics,
  type Store,
  type Target,
  takeSamples,
  type Values,
  viewOf,
} from "@pare/core";
import { gather } from "@pare/ops/observe";
import { biasCorrection } from "../static/bias-correction.ts";
import { equalize } from "../static/equalize.ts";
import { int8 } from "../static/int8.ts";
import { planned, type QuantizationOptions, quantizationOptions } from "../static/int8-options.ts";
import {
  blocks,
  type LayerFormat,
  type Move,
  passesFor,
  type Sensitivity,
  type WeightSensitivity,
  weightMoves,
} from "../static/layer-formats.ts";
import { int8Weights } from "../weights/int8-weights.ts";
import { answersOf, type Metric, mean, scoreOf, upperBound } from "./metric.ts";

export interface AutoFixOptions<A = unknown> {
  readonly target: Target;
  readonly runtime: Runtime;
  /** Samples that ranges are found on. */
  readonly samples: Samples;
  /** Samples that the search looks at. */
  readonly guide: Samples;
  readonly metric: Metric<A>;
  /** Most that the metric may fall below the float model's, in percentage points. */
  readonly maxDrop: number;
  /** Answers to `guide`, in the metric's form, where they are known; by default the float model's. */
  readonly references?: readonly A[];
  /** Options of `int8`. */
  readonly quantization?: Partial<QuantizationOptions>;
  /** Most trials on the guide. Default 32. */
  readonly budget?: number;
  /** Where statistics are kept, see `gather` of `@pare/ops/observe`, which gathers them unless something else is given. */
  readonly store?: Store;
  readonly gather?: NonNullable<RunOptions["gather"]>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string, done: number, total: number) => void;
}

export interface Trial {
  readonly formats: ReadonlyMap<string, LayerFormat>;
  /** Mean drop of the metric, in percentage points. */
  readonly drop: number;
  /** What the drop is below with 95 % confidence, see {@link upperBound}. */
  readonly bound: number;
  /** How many samples of the guide were looked at: all, unless it was clear before that it is too far off. */
  readonly samples: number;
  readonly accepted: boolean;
}

export interface AutoFixResult {
  readonly model: Model;
  /** What formats were given to: the source after `equalize`. */
  readonly base: Model;
  /** Of each layer by its output. */
  readonly formats: ReadonlyMap<string, LayerFormat>;
  /** The float model's score on the guide, in percent. */
  readonly reference: number;
  readonly sensitivity: readonly Sensitivity[];
  /** In the order they were made. */
  readonly trials: readonly Trial[];
  /** Whether the result is within `maxDrop` on the guide. */
  readonly within: boolean;
}

/** Trials that are kept for activations. */
const RESERVED = 6;

/** Formats that a layer may be given back to, the steps that free most bytes first. */
const lowered: readonly (readonly [LayerFormat, LayerFormat])[] = [
  ["float16 weights", "int8 block weights"],
  ["int8 block weights", "int8 weights"],
];

/** Samples that a layer's influence is measured on. */
const SENSITIVITY_SAMPLES = 8;

/**
 * Finds which layers must not be computed in integers for a metric to stay within `maxDrop`. Every layer is measured
 * alone. Then, by bisection with each trial measured on the guide: do the weights fit in int8 without integer activations?
 * If not, those that harm most for their bytes get finer scales or become float16, as few as suffice. What was raised is then given back
 * layer by layer where that suffices. Last, the fewest layers are looked for that must compute in float32, in the order of the
 * harm they do: trying them one by one would pick what happens to suit the guide. A drop counts as much as it may be on other samples, with 95 % confidence.
 * @throws PareError `quantize/no-scheme`, `quantize/no-samples`, and what passes and the runtime throw
 */
export async function autoFix<A>(source: Model, options: AutoFixOptions<A>): Promise<AutoFixResult> {
  const { target, runtime, samples, guide, metric, maxDrop, budget = 32, signal } = options;
  const settings = quantizationOptions.parse({ rounding: "gptq", ...options.quantization });
  const stop = signal ? { signal } : {};
  const host = { target, runtime, samples, ...(options.store ? { store: options.store } : {}), ...stop };
  const { model: base } = await run(equalize(), source, host);
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
  const statistics: Statistics = await (options.gather ?? gather)(
    base,
    wishes,
    host,
    signal ?? new AbortController().signal,
  );
  const known: RunOptions = { ...host, gather: async () => statistics };
  const make = async (passes: readonly Pass[]) => (await run(passes, base, known)).model;

  const few = takeSamples(samples, SENSITIVITY_SAMPLES);
  const reference = await outputsOf(runtime, source, few, signal);
  const alone = async (pass: Pass) => sqnr(reference, await outputsOf(runtime, await make([pass]), few, signal));
  let sensitivity: Sensitivity[] = [];
  for (const [i, { layer, op, weight, elements }] of layers.entries()) {
    options.onProgress?.(`measuring ${layer}`, i, layers.length);
    sensitivity.push({ layer, op, weight, elements, int8Db: await alone(int8({ ...settings, include: [layer] })) });
  }
  /** Measures weights too: that takes long, and is needed only where they must be raised. */
  const withWeights = async (): Promise<WeightSensitivity[]> => {
    const list: WeightSensitivity[] = [];
    for (const [i, s] of sensitivity.entries()) {
      options.onProgress?.(`measuring ${s.weight}`, i, layers.length);
      const stored = { include: [s.weight], rounding: settings.rounding };
      const weightDb = await alone(int8Weights(stored));
      list.push({ ...s, weightDb, blockDb: await alone(int8Weights({ ...stored, ...blocks })) });
    }
    return list;
  };

  const byHarm = sensitivity.toSorted((a, b) => a.int8Db - b.int8Db);
  const answers = await all(judged(runtime, source, metric, guide, signal));
  if (answers.length === 0) throw failure("quantize/no-samples", "the guide has not one sample to judge by");
  const references = options.references ?? answers;
  const best = answers.map((a, i) => scoreOf(metric, a, references[i]!));
  const trials: Trial[] = [];
  const attempt = async (weights: ReadonlyMap<string, LayerFormat>, floats: readonly Sensitivity[]) => {
    const formats = new Map<string, LayerFormat>(layers.map((l) => [l.layer, "int8"]));
    for (const { layer } of floats) formats.set(layer, "int8 weights");
    for (const [layer, format] of weights) formats.set(layer, format);
    options.onProgress?.(`trial ${trials.length + 1}`, trials.length, budget);
    const model = await make(passesFor(formats, sensitivity, settings));
    const drops: number[] = [];
    // The rest of the guide is left out once it cannot help any more.
    const hopeless = () =>
      upperBound([...drops, ...new Array<number>(answers.length - drops.length).fill(0)]) > maxDrop;
    for await (const answer of judged(runtime, model, metric, guide, signal)) {
      const i = drops.length;
      drops.push(best[i]! - scoreOf(metric, answer, references[i]!));
      if (drops[i]! > 0 && hopeless()) break;
    }
    const accepted = drops.length === answers.length && upperBound(drops) <= maxDrop;
    trials.push({ formats, drop: mean(drops), bound: upperBound(drops), samples: drops.length, accepted });
    return { model, formats, accepted, weights, floats };
  };
  type Attempt = Awaited<ReturnType<typeof attempt>>;
  /** The least number from 1 to `most` that is accepted, where `most` is, as `known` shows or is tried first. */
  const least = async (most: number, at: (n: number) => Promise<Attempt>, known?: Attempt) => {
    let found = known ?? (await at(most));
    if (!found.accepted) return found;
    for (let [low, high] = [0, most]; high - low > 1 && trials.length < budget; ) {
      const middle = (low + high) >> 1;
      const tried = await at(middle);
      if (tried.accepted) [found, high] = [tried, middle];
      else low = middle;
    }
    return found;
  };
  const raised = (moves: readonly Move[]) => new Map(moves.map(({ layer, format }) => [layer, format]));

  let result = await attempt(new Map(), []);
  if (!result.accepted) {
    // First no integer activations at all: that costs no bytes.
    result = await attempt(new Map(), byHarm);
    if (!result.accepted) {
      const measured = await withWeights();
      sensitivity = measured;
      const moves = weightMoves(measured);
      result = await least(moves.length, (n) => attempt(raised(moves.slice(0, n)), byHarm));
      // The order of the moves is an estimate: single ones may not have been needed, the dearest are asked first.
      const dear = sensitivity.toSorted((a, b) => b.elements - a.elements);
      for (const [from, to] of lowered)
        for (const { layer } of dear) {
          if (!result.accepted || trials.length >= budget - RESERVED) break;
          if (result.weights.get(layer) !== from) continue;
          const tried = await attempt(new Map([...result.weights, [layer, to]]), byHarm);
          if (tried.accepted) result = tried;
        }
    }
    const { weights } = result;
    if (result.accepted) result = await least(byHarm.length, (n) => attempt(weights, byHarm.slice(0, n)), result);
  }
  return {
    model: result.model,
    base,
    formats: result.formats,
    reference: mean(best),
    sensitivity,
    trials,
    within: result.accepted,
  };
}

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

async function outputsOf(runtime: Runtime, model: Model, samples: Samples, signal?: AbortSignal): Promise<Values[]> {
  const outputs: Metric<Values> = { name: "outputs", answer: (values) => values };
  const found = await all(judged(runtime, model, outputs, samples, signal));
  if (found.length === 0) throw failure("quantize/no-samples", "there is not one sample");
  return found;
}

/** Least SQNR in dB of the float outputs. */
function sqnr(reference: readonly Values[], got: readonly Values[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const name of Object.keys(reference[0]!)) {
    let [signal, noise] = [0, 0];
    reference.forEach((values, i) => {
      if (values[name]!.dtype !== "float32") return;
      const a = dataOf(values[name] as ResidentTensor<"float32">) as Float32Array;
      const b = dataOf(got[i]![name] as ResidentTensor<"float32">) as Float32Array;
      for (let k = 0; k < a.length; k++) {
        signal += a[k]! ** 2;
        noise += (a[k]! - b[k]!) ** 2;
      }
    });
    least = Math.min(least, 10 * Math.log10(signal / noise));
  }
  return least;
}
