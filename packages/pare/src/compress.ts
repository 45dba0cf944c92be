import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
  type Artifact,
  type ByteSource,
  type Diagnostic,
  edit,
  failure,
  type Host,
  type Model,
  type Observation,
  PareError,
  type Pass,
  type Progress,
  type Report,
  type Runtime,
  type Samples,
  type Source,
  takeSamples,
  type Values,
} from "@pare/core";
import { openSource } from "@pare/io";
import type { OnnxWriteOptions } from "@pare/onnx";
import { gather, type Reuse } from "@pare/ops/observe";
import { cosine, type Diagnosis, int8, type Metric } from "@pare/quantize";
import { type Comparison, compare, fitInputs, gzipSize, nodeCount } from "@pare/report";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { lowerToTflite, type TfliteWriteOptions } from "@pare/tflite";
import { type Coverage, checkCoverage, coverageOf } from "./coverage.ts";
import { diagnosisOf, runKeeping } from "./diagnosis.ts";
import { isImageSamples } from "./images/images.ts";
import { type Input, openInput, totalBytes } from "./input.ts";
import { firstOf, isSlower, type LatencyInTurns, latencies, type Timed } from "./latency.ts";
import { predictBytes } from "./predict.ts";
import { stage } from "./staging.ts";
import { suffixOf } from "./suffix.ts";
import { syntheticSamples, withMadeUp } from "./synthetic.ts";
import { verdictOf } from "./verdict.ts";
import { type WithinDrop, withinDrop } from "./within-drop.ts";
import { fixedShapes, writerOf } from "./write.ts";

// biome-ignore lint/suspicious/noExplicitAny: what an answer is, is the metric's own.
type AnyMetric = Metric<any>;

export interface CompressOptions extends Pick<Host, "samples" | "labels" | "target" | "store"> {
  readonly passes: readonly Pass[];
  /**
   * Most that `metric` may fall below the source's, in percentage points. After the passes the model is then quantized for
   * `target` as far as that allows, by a search on half of the samples; see {@link withinDrop}. Needs samples and a target.
   */
  readonly maxDrop?: number;
  /** How answers are judged: against what the source answers. Default {@link cosine}. */
  readonly metric?: AnyMetric;
  /** Path of the result. Without it nothing is written, and the model in memory is verified. */
  readonly output?: string;
  /** Instead of `output`: beside the source, named like transformers.js wants it (`model_fp16.onnx`). */
  readonly suffix?: boolean;
  /** What runs the models. Default: ONNX Runtime in a process of its own. */
  readonly runtime?: Runtime;
  /** Least share, from 0 to 1, of what each pass finds in its scope; see {@link coverageOf} for the default. */
  readonly minCoverage?: number;
  /** Least SQNR of a float output, in dB. Default 6, an error half as large as the signal; on made-up inputs that only warns. */
  readonly minSqnrDb?: number;
  /** Whether to run source and result, and compare. Default true. */
  readonly verify?: boolean;
  /** Whether to measure the time of both, and for how many milliseconds each. Default true: 2000. */
  readonly latency?: boolean | { readonly budgetMs: number };
  /** Which values to compare. Default `outputs`. */
  readonly values?: "outputs" | "all";
  /** Of how many of the worst quantized layers distributions are gathered. Default 0. */
  readonly distributions?: number;
  /** Samples to verify on, at most. Default 32. */
  readonly verifySamples?: number;
  /** Shapes of made-up inputs, by name; used when there are no samples. */
  readonly shapes?: ReadonlyMap<string, readonly number[]>;
  /** Whether to measure what gzip makes of the files. Default: when they are below 256 MB. */
  readonly gzip?: boolean;
  /** How the file is written. Here `decodeWeights` is `"load"` by default, with which ONNX Runtime runs it as fast as its source. */
  readonly onnx?: OnnxWriteOptions;
  /**
   * Writes a TFLite file and verifies it in LiteRT, against the source in `runtime`. Its shapes are fixed: where the model leaves
   * them open to those of `shapes`, or else those of the first sample. Only outputs are compared.
   */
  readonly tflite?: TfliteWriteOptions;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Told, whenever statistics are asked for, what of them was in `store` and why the rest was not. */
  readonly onReuse?: (reuse: Reuse) => void;
}

export interface CompressResult {
  /** The result. Its weights are computed from the source's, which stays open until `close`. */
  readonly model: Model;
  readonly source: Model;
  readonly report: Report;
  readonly coverage: readonly Coverage[];
  /** What the search for `maxDrop` found. */
  readonly search?: WithinDrop;
  /** What `int8` or the search did to each layer, on the samples; missing when neither quantized by samples or nothing was verified. */
  readonly diagnosis?: Diagnosis;
  /** What was written, and where. */
  readonly artifact?: Artifact & { readonly path: string };
  /** How the outputs changed; missing when nothing was verified. */
  readonly comparison?: Comparison;
  /** What the comparison was made on. */
  readonly samples: "given" | "synthetic" | "none";
  readonly latency?: { readonly before: LatencyInTurns; readonly after: LatencyInTurns };
  readonly bytes: {
    readonly before: number;
    readonly after: number;
    readonly gzip?: { readonly before?: number; readonly after: number };
  };
  /** Nodes of all graphs. */
  readonly nodes: { readonly before: number; readonly after: number };
  /** Warnings: slower, larger, inexact; and what readers, passes and writers noticed. */
  readonly diagnostics: readonly Diagnostic[];
  close(): Promise<void>;
}

const GZIP_LIMIT = 256e6;

/**
 * Makes a model smaller, writes it, and proves what came of it: source and result run on the same samples (made-up ones
 * when there are none), and both are timed. The file appears only once it has passed.
 * @throws PareError `pare/coverage` when less was covered than asked, `pare/not-finite`, `pare/far-off`, `pare/output-shape` when the result must not
 *   be used, `pare/overwrite`, and what readers, passes, writers and the runtime throw. Nothing is written then.
 * @example
 * const result = await compress("model.onnx", { passes: [int8Weights()], output: "model_int8.onnx" });
 * console.log(`${result.report}`, result.comparison?.outputs[0]?.sqnrDb);
 * await result.close();
 */
export async function compress(from: string | Model | Source, options: CompressOptions): Promise<CompressResult> {
  const { signal } = options;
  const input = await openInput(from, signal);
  try {
    if (input.format === "tflite")
      throw failure("pare/usage", `${input.name} is a TFLite model, which is final`, {
        hint: "Compress the model that it was made from.",
      });
    return await compressInput(input, options);
  } catch (error) {
    await input.close();
    throw error;
  }
}

async function compressInput(input: Input, options: CompressOptions): Promise<CompressResult> {
  const { signal, onProgress, passes, verify = true, runtime = ort(), threads } = options;
  const output = await outputOf(input, options);
  const stop = signal ? { signal } : {};
  const progress = onProgress ? { onProgress } : {};
  const host = {
    runtime,
    ...given(options, "samples"),
    ...given(options, "labels"),
    ...given(options, "target"),
    ...given(options, "store"),
  };
  const ran = await runKeeping(passes, input.model, { ...host, ...gathering(options), ...stop, ...progress });
  const { model: passed, report } = ran;
  if (passes.length > 0) checkCoverage(report, input.model, options.minCoverage, goesOn(input, options));
  const search = options.maxDrop === undefined ? undefined : await searched(passed, runtime, options, options.maxDrop);
  const model = noting(search?.model ?? passed, options.samples);
  const diagnosis = verify ? await diagnosisOf(ran, search, { ...options, runtime }) : undefined;
  const diagnostics = [...input.diagnostics, ...report.passes.flatMap((p) => p.diagnostics)];
  const shaped = options.tflite && (await fixedShapes(model, options));
  if (shaped) diagnostics.push(...shaped.diagnostics);
  const write = writerOf(shaped ? { tflite: shaped.tflite } : { onnx: writeOptions(options) });

  const staging = output === undefined ? undefined : await stage(output);
  try {
    const written = staging && (await write(model, staging.path, { ...stop, ...progress }));
    if (written) diagnostics.push(...written.diagnostics);
    const after = written ? totalBytes(written.files) : await predictBytes(model, write);
    const before =
      input.sources.length > 0 ? totalBytes(input.sources) : await predictBytes(input.model, writeOptions(options));
    if (after >= before)
      diagnostics.push(
        warning(
          "pare/larger",
          `the result takes ${after} bytes, the source ${before}`,
          options.tflite && options.tflite.weights !== "float16"
            ? "TFLite holds weights as the source does; float16 halves them (--tflite-weights float16)."
            : "These passes do not make this model smaller.",
        ),
      );

    const a = {
      name: input.name,
      model: input.model,
      runtime,
      ...(input.file === undefined ? {} : { file: input.file }),
    };
    const b = {
      name: output === undefined ? "result" : basename(output),
      model,
      runtime: options.tflite ? litert({ lower: async (m) => lowerToTflite(m, options.tflite).model }) : runtime,
      ...(staging ? { file: staging.path } : {}),
    };
    let comparison: Comparison | undefined;
    let latency: CompressResult["latency"];
    if (verify) {
      const all = options.samples ?? syntheticSamples(model, options.shapes ? { shapes: options.shapes } : {});
      const samples = takeSamples(all, options.verifySamples ?? 32);
      const compared = () =>
        compare(a, b, {
          samples,
          values: options.tflite ? "outputs" : (options.values ?? "outputs"),
          ...stop,
          ...progress,
          ...(threads === undefined ? {} : { threads }),
        });
      comparison = await (options.samples ? compared() : withMadeUp(samples, compared));
      // Made-up inputs show that something changed, not that it matters: only a limit that was asked for is an error then.
      const strict = options.samples !== undefined || options.minSqnrDb !== undefined;
      const found = verdictOf(comparison, options.minSqnrDb, strict);
      if (found.some((d) => d.severity === "error")) throw new PareError(found.filter((d) => d.severity === "error"));
      diagnostics.push(...found);
      if (options.latency ?? true) {
        latency = await timeBoth(runtime, [a, b], await firstOf(samples, signal), options);
        if (isSlower(latency.before, latency.after))
          diagnostics.push(
            warning(
              "pare/slower",
              `the result is slower: ${latency.after.medianMs.toFixed(2)} ms a run, the source ${latency.before.medianMs.toFixed(2)} ms`,
              options.tflite
                ? "LiteRT runs here in WebAssembly, the source natively: measure on the device."
                : "On this machine; measure on the device. Some weights stored in fewer bits are decoded in every run.",
            ),
          );
      }
    }
    const gzip = options.gzip ?? Math.max(before, after) <= GZIP_LIMIT;
    const files = written && staging ? written.files.map((f) => join(dirname(staging.path), f.name)) : [];
    const zipped =
      gzip && files.length > 0
        ? { before: await gzipSize(input.sources, signal), after: await gzipFiles(files, signal) }
        : undefined;
    signal?.throwIfAborted();
    if (written) await staging?.place(written.files.map((f) => f.name));
    return {
      model,
      source: input.model,
      report,
      coverage: coverageOf(report, options.minCoverage),
      nodes: { before: nodeCount(input.model), after: nodeCount(model) },
      ...(written && output !== undefined ? { artifact: { ...written, path: resolve(output) } } : {}),
      ...(search ? { search } : {}),
      ...(diagnosis ? { diagnosis } : {}),
      ...(comparison ? { comparison } : {}),
      samples: verify ? (options.samples ? "given" : "synthetic") : "none",
      ...(latency ? { latency } : {}),
      bytes: { before, after, ...(zipped ? { gzip: zipped } : {}) },
      diagnostics,
      close: () => input.close(),
    };
  } finally {
    await staging?.remove();
  }
}

function searched(model: Model, runtime: Runtime, options: CompressOptions, maxDrop: number): Promise<WithinDrop> {
  const { samples, target, metric = cosine as AnyMetric, signal, onProgress } = options;
  if (!samples || !target)
    throw failure("pare/max-drop", "a search within a drop needs samples and a target", {
      hint: "Give --samples, or samples and target to compress().",
    });
  return withinDrop(model, {
    samples,
    target,
    metric,
    maxDrop,
    runtime,
    ...given(options, "store"),
    ...gathering(options),
    ...(signal ? { signal } : {}),
    onProgress: (task, done, total) => onProgress?.({ task, done, total, unit: "steps" }),
  });
}

/** Whether the passes may find nothing to do: something follows them, or the model is written for the first time. */
const goesOn = ({ format }: Input, { tflite, maxDrop }: CompressOptions): boolean =>
  format === "model" || tflite !== undefined || maxDrop !== undefined;

/** Key of the artifact's metadata under which preprocessing stands as JSON. */
const PREPROCESSING = "pare.preprocessing";

/** Says in the model's metadata how the images were prepared that it was made and measured with. */
const noting = (model: Model, samples: Samples | undefined): Model =>
  isImageSamples(samples)
    ? edit(model, (e) =>
        e.setModel({
          metadata: new Map(model.metadata).set(PREPROCESSING, JSON.stringify(samples.preprocessing)),
        }),
      )
    : model;

/** Gathers statistics and says what was reused. */
const gathering = ({ onReuse }: CompressOptions) => ({
  gather: (model: Model, wishes: readonly Observation[], host: Host, signal: AbortSignal) =>
    gather(model, wishes, host, signal, onReuse),
});

/** How {@link compress} writes. */
export const writeOptions = ({ onnx, target }: Pick<CompressOptions, "onnx" | "target">): OnnxWriteOptions => ({
  decodeWeights: "load",
  ...(target ? { target } : {}),
  ...onnx,
});

const given = <K extends keyof CompressOptions>(options: CompressOptions, key: K) =>
  (options[key] === undefined ? {} : { [key]: options[key] }) as
    | { [P in K]: NonNullable<CompressOptions[P]> }
    | Record<never, never>;

const warning = (code: string, message: string, hint: string): Diagnostic => ({
  code,
  severity: "warning",
  message,
  hint,
});

async function outputOf(
  input: Input,
  { output, suffix, passes, maxDrop }: CompressOptions,
): Promise<string | undefined> {
  // A search for maxDrop ends with int8.
  const all = maxDrop === undefined ? passes : [...passes, int8()];
  const path = output ?? (suffix && input.file !== undefined ? suffixed(input.file, all) : undefined);
  if (path === undefined || input.file === undefined) return path;
  const [to, from] = await Promise.all([path, input.file].map((p) => realpath(p).catch(() => resolve(p))));
  if (to === from)
    throw failure("pare/overwrite", `the result would overwrite its source ${input.file}`, {
      hint: "Give another name for the output.",
    });
  return path;
}

/** `dir/model.onnx` as `dir/model_int8.onnx`. */
export function suffixed(file: string, passes: readonly Pass[]): string {
  const dot = file.toLowerCase().endsWith(".onnx") ? file.length - 5 : file.length;
  return `${file.slice(0, dot)}${suffixOf(passes)}.onnx`;
}

async function timeBoth(
  runtime: Runtime,
  [before, after]: readonly [Timed, Timed],
  inputs: Values,
  { threads, signal, onProgress, latency }: CompressOptions,
): Promise<{ before: LatencyInTurns; after: LatencyInTurns }> {
  const fitted = fitInputs(before.model, after.model, [])(inputs);
  const [x, y] = await latencies(
    runtime,
    [
      { timed: before, inputs },
      { timed: after, inputs: fitted },
    ],
    {
      ...(threads === undefined ? {} : { threads }),
      ...(signal ? { signal } : {}),
      ...(typeof latency === "object" ? latency : {}),
      onRound: (done, total) => onProgress?.({ task: "latency", done, total, unit: "steps" }),
    },
  );
  return { before: x!, after: y! };
}

async function gzipFiles(paths: readonly string[], signal?: AbortSignal): Promise<number> {
  const sources: ByteSource[] = [];
  try {
    for (const path of paths) sources.push(await openSource(path));
    return await gzipSize(sources, signal);
  } finally {
    await Promise.all(sources.map((s) => s.close()));
  }
}
