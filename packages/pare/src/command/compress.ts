import { basename, resolve } from "node:path";
import { failure, type Pass } from "@pare/core";
import { folderStore } from "@pare/io";
import { ortArm, ortWeb, ortX64 } from "@pare/onnx";
import type { Reuse } from "@pare/ops/observe";
import { optimize } from "@pare/optimize";
import { cosine, iou, type Metric, top1 } from "@pare/quantize";
import { formatUnit, measureReport, table, textTable } from "@pare/report";
import { ort } from "@pare/runtime-ort";
import { type Command, Option } from "commander";
import { type CompressOptions, type CompressResult, compress, suffixed } from "../compress.ts";
import { loadConfig, type PareConfig } from "../config.ts";
import { diagnosisText } from "../diagnosis-text.ts";
import { type Input, openInput } from "../input.ts";
import { exitCodes, type Io } from "../io.ts";
import { resultJson } from "../json.ts";
import { compressSections } from "../page.ts";
import { flaggedPasses } from "../passes.ts";
import { samplesFromFiles } from "../sample-files.ts";
import { searchText } from "../search-text.ts";
import { cacheText } from "./cache-text.ts";
import { dryRun, dryRunJson, dryRunText } from "./dry-run.ts";
import { writeDiagnostics } from "./errors.ts";
import {
  type CommonOptions,
  count,
  fraction,
  number,
  preprocessingOf,
  type SampleOptions,
  withCommon,
  withSamples,
} from "./options.ts";
import { addPassFlags } from "./pass-flags.ts";
import { showProgress } from "./progress.ts";
import { writePage } from "./write-page.ts";

// biome-ignore lint/suspicious/noExplicitAny: what an answer is, is the metric's own.
const metrics = new Map<string, Metric<any>>([
  ["cosine", cosine],
  ["top-1", top1],
  ["iou", iou()],
]);
/** Of so many layers a page shows distributions. */
const DISTRIBUTIONS = 6;
const targets = new Map([ortX64, ortArm, ortWeb].map((t) => [t.name, t]));

interface Options extends CommonOptions, SampleOptions {
  readonly output?: string;
  readonly suffixes?: boolean;
  readonly config?: string;
  readonly dryRun?: boolean;
  readonly minCoverage?: number;
  readonly minSqnr?: number;
  readonly verify: boolean;
  readonly latency: boolean;
  readonly verifySamples?: number;
  readonly target?: string;
  readonly maxDrop?: number;
  readonly metric?: string;
  readonly externalData?: boolean;
  readonly opset?: number;
  readonly decodeWeights?: "load" | "run";
  readonly to?: "onnx" | "tflite";
  readonly tfliteWeights?: "float32" | "float16";
  readonly html?: string;
  readonly cache?: string;
  readonly explainCache?: boolean;
}

export function build(command: Command, io: Io, exit: (code: number) => void): void {
  command
    .argument("[model]", "path of an ONNX model")
    .option("-o, --output <path>", "where to write the result (default: MODEL_small.onnx, or by --suffixes)")
    .option(
      "--suffixes",
      "name the result as transformers.js wants it: MODEL_fp16.onnx, MODEL_int8.onnx, MODEL_quantized.onnx",
    )
    .option("--config <file>", "a pare.config.ts; by default the one in this folder, if no pass is given by flag")
    .option("--dry-run", "say what would change and how large the result would be; write nothing")
    .addOption(
      new Option(
        "--min-coverage <share>",
        "least share of what each pass finds in its scope (see the README)",
      ).argParser(fraction),
    )
    .addOption(new Option("--min-sqnr <dB>", "least SQNR of a float output (default 6)").argParser(number))
    .option("--no-verify", "do not run source and result")
    .option("--no-latency", "do not measure their time")
    .addOption(new Option("--verify-samples <n>", "samples to verify on, at most (default 32)").argParser(count))
    .addOption(new Option("--target <name>", "what the result is for (default ort-x64)").choices([...targets.keys()]))
    .addOption(
      new Option(
        "--max-drop <points>",
        "after the passes, quantize for the target as far as the metric falls by at most so many percentage points; needs --samples",
      ).argParser(number),
    )
    .addOption(
      new Option("--metric <name>", "what is judged, against the source's answers (default cosine)").choices([
        ...metrics.keys(),
      ]),
    )
    .option("--cache <folder>", "keep statistics of samples there, and go on where an earlier run ended")
    .option("--explain-cache", "say what of the cache was reused, and why the rest was not")
    .addOption(
      new Option(
        "--to <format>",
        "format of the result (default: by the name of the output; onnx). tflite is verified in LiteRT",
      ).choices(["onnx", "tflite"]),
    )
    .addOption(
      new Option("--tflite-weights <type>", "element type of stored weights in TFLite (default float32)").choices([
        "float32",
        "float16",
      ]),
    )
    .option("--external-data", "write weights beside the model")
    .addOption(
      new Option(
        "--opset <n>",
        "version of the ONNX operators to write, from 7 to 27 (default: the lowest that will do)",
      ).argParser(count),
    )
    .addOption(
      new Option(
        "--decode-weights <when>",
        "integer weights: once at load by Cast and Mul (default), or in every run by DequantizeLinear",
      ).choices(["load", "run"]),
    )
    .option("--html <path>", "write a page with sizes, error of each layer and coverage");
  withCommon(withSamples(command));
  const passes = addPassFlags(command, flaggedPasses);
  command.action((model: string | undefined, options: Options) => act(io, exit, model, options, passes()));
}

async function act(
  io: Io,
  exit: (code: number) => void,
  given: string | undefined,
  options: Options,
  flagged: readonly Pass[],
): Promise<void> {
  const config: PareConfig =
    (flagged.length > 0 && !options.config ? undefined : await loadConfig(io.cwd, options.config)) ?? {};
  const isTflite = options.to === undefined ? /\.tflite$/i.test(options.output ?? "") : options.to === "tflite";
  const asked = flagged.length > 0 ? flagged : (config.passes ?? []);
  // A change of format is worth something without any pass; what folds is folded before.
  const passes = isTflite && asked.length === 0 ? [optimize()] : asked;
  const path = given ?? config.input;
  if (path === undefined)
    throw failure("pare/usage", "no model is given", { hint: "pare compress model.onnx --int8-weights" });
  if (passes.length === 0 && (options.maxDrop ?? config.maxDrop) === undefined)
    throw failure("pare/usage", "no pass is given: say what to do to the model", {
      hint: `By flags (${flaggedPasses.map((f) => `--${f.name}`).join(", ")}) or in a pare.config.ts.`,
    });
  const view = await showProgress(io, options.quiet);
  const input = await openInput(resolve(io.cwd, path), io.signal);
  try {
    const settings = await settingsOf(io, input, { ...options, to: isTflite ? "tflite" : "onnx" }, config, passes);
    if (options.dryRun) {
      if (settings.maxDrop !== undefined)
        throw failure("pare/usage", "a dry run runs no model, so it cannot search within a drop", {
          hint: "Leave out --dry-run or --max-drop.",
        });
      const plan = await dryRun(input, { ...settings, onProgress: view.onProgress });
      view.stop();
      io.stdout.write(options.json ? `${JSON.stringify(dryRunJson(plan))}\n` : dryRunText(plan));
      if (!options.quiet) writeDiagnostics(plan.diagnostics, io);
      if (plan.diagnostics.some((d) => d.code === "pare/coverage")) exit(exitCodes.coverage);
      return;
    }
    const reused: Reuse[] = [];
    const result = await compress(input.file ?? resolve(io.cwd, path), {
      ...settings,
      onProgress: view.onProgress,
      onReuse: (reuse) => reused.push(reuse),
    });
    view.stop();
    if (options.explainCache) io.stderr.write(cacheText(reused, settings.store !== undefined));
    try {
      await tell(io, result, options);
    } finally {
      await result.close();
    }
  } finally {
    view.stop();
    await input.close();
  }
}

async function settingsOf(
  io: Io,
  input: Input,
  options: Options,
  config: PareConfig,
  passes: readonly Pass[],
): Promise<CompressOptions> {
  const { samples: configured, input: _, ...rest } = config;
  const samples =
    options.samples !== undefined
      ? await samplesFromFiles(resolve(io.cwd, options.samples), input.model, preprocessingOf(options))
      : typeof configured === "function"
        ? configured(input.model)
        : configured;
  const needy = passes.flatMap((p) => p.steps ?? [p]).find((p) => p.needs.includes("samples"));
  if (needy && !samples)
    throw failure("pare/samples", `${needy.name} needs samples of what the model will see`, {
      hint: "Give them with --samples, as .npy files, or as samples in a pare.config.ts.",
    });
  const threads = options.threads ?? config.threads;
  const shapes = options.shape ?? config.shapes;
  const suffix = options.suffixes ?? config.suffix;
  const wanted = options.output ?? (options.suffixes ? undefined : config.output);
  const output = wanted
    ? resolve(io.cwd, wanted)
    : input.file && suffix
      ? suffixed(input.file, passes)
      : input.file?.replace(/(\.onnx)?$/i, options.to === "tflite" ? ".tflite" : "_small.onnx");
  return {
    ...rest,
    passes,
    ...(options.maxDrop === undefined ? {} : { maxDrop: options.maxDrop }),
    ...(options.metric === undefined ? {} : { metric: metrics.get(options.metric)! }),
    target: options.target === undefined ? (config.target ?? ortX64) : targets.get(options.target)!,
    ...(output === undefined ? {} : { output }),
    ...(options.cache === undefined ? {} : { store: folderStore(resolve(io.cwd, options.cache)) }),
    ...(samples ? { samples } : {}),
    ...(threads === undefined ? {} : { threads }),
    ...(shapes ? { shapes } : {}),
    ...(options.minCoverage === undefined ? {} : { minCoverage: options.minCoverage }),
    ...(options.minSqnr === undefined ? {} : { minSqnrDb: options.minSqnr }),
    ...(options.verifySamples === undefined ? {} : { verifySamples: options.verifySamples }),
    onnx: {
      ...config.onnx,
      ...(options.externalData === undefined ? {} : { externalData: options.externalData }),
      ...(options.opset === undefined ? {} : { opset: options.opset }),
      ...(options.decodeWeights === undefined ? {} : { decodeWeights: options.decodeWeights }),
    },
    ...(options.to === "tflite"
      ? { tflite: { ...config.tflite, ...(options.tfliteWeights ? { weights: options.tfliteWeights } : {}) } }
      : {}),
    verify: options.verify && (config.verify ?? true),
    latency: options.latency && (config.latency ?? true),
    ...(options.html ? { values: "all" as const, distributions: DISTRIBUTIONS } : {}),
    runtime: config.runtime ?? ort(threads === undefined ? {} : { threads }),
    signal: io.signal,
  };
}

async function tell(io: Io, r: CompressResult, options: Options): Promise<void> {
  if (options.html !== undefined) {
    const passes = await measureReport(r.report, io.signal);
    const name = r.artifact ? basename(r.artifact.path) : "result";
    const subtitle = `${r.report.passes.map((p) => p.pass).join(", ")}; measured on ${r.samples === "given" ? "the samples given" : "made-up inputs"}.`;
    await writePage(io, options.html, { title: name, subtitle, sections: compressSections(r, passes) });
  }
  if (options.json) io.stdout.write(`${JSON.stringify(resultJson(r))}\n`);
  else io.stdout.write(summary(r));
  // What passes noticed stands in the summary already.
  if (!options.quiet)
    writeDiagnostics(
      r.diagnostics.filter((d) => options.json || d.location?.pass === undefined),
      io,
    );
}

function summary(r: CompressResult): string {
  const { bytes, latency, comparison, nodes } = r;
  const row = (what: string, before: string, after: string, note = "") => ({ what, before, after, note });
  const ratio = (x: number, y: number, more: string, less: string) =>
    x >= y ? `${formatUnit(x / y, "times")} ${more}` : `${formatUnit(y / x, "times")} ${less}`;
  const rows = [
    row(
      "size",
      formatUnit(bytes.before, "bytes"),
      formatUnit(bytes.after, "bytes"),
      ratio(bytes.before, bytes.after, "smaller", "larger"),
    ),
    ...(bytes.gzip
      ? [
          row(
            "gzip",
            bytes.gzip.before === undefined ? "" : formatUnit(bytes.gzip.before, "bytes"),
            formatUnit(bytes.gzip.after, "bytes"),
            bytes.gzip.before === undefined ? "" : ratio(bytes.gzip.before, bytes.gzip.after, "smaller", "larger"),
          ),
        ]
      : []),
    ...(nodes.before === nodes.after ? [] : [row("nodes", `${nodes.before}`, `${nodes.after}`)]),
    ...(latency
      ? [
          row(
            "one run",
            formatUnit(latency.before.medianMs, "ms"),
            formatUnit(latency.after.medianMs, "ms"),
            ratio(latency.before.medianMs, latency.after.medianMs, "faster", "slower"),
          ),
        ]
      : []),
  ];
  const right = { align: "right" as const };
  /** Of numbers that are not rounded, how many are equal tells most. */
  const exact = comparison?.outputs.some((v) => !/float/.test(v.dtypes[0])) ?? false;
  const parts = [
    ...(r.report.passes.length > 0 ? [`${r.report}`] : []),
    ...(r.search ? [searchText(r.search)] : []),
    ...(r.diagnosis && r.diagnosis.layers.length > 0 ? [diagnosisText(r.diagnosis)] : []),
    textTable(
      table(
        [
          { key: "what", title: "" },
          { key: "before", ...right },
          { key: "after", ...right },
          { key: "note", title: "" },
        ],
        rows,
      ),
    ),
    ...(comparison
      ? [
          textTable(
            table(
              [
                { key: "name", title: "output", width: 40 },
                { key: "sqnrDb", title: "SQNR", unit: "dB" },
                { key: "maxAbsError", title: "worst error" },
                { key: "cosine", align: "right" },
                ...(exact ? [{ key: "equalShare", title: "equal", unit: "share" as const }] : []),
              ],
              comparison.outputs.map((v) => ({
                name: v.name,
                sqnrDb: v.sqnrDb,
                maxAbsError: v.maxAbsError,
                cosine: v.cosine.toFixed(6),
                equalShare: v.equalShare,
              })),
            ),
          ),
          `Compared on ${comparison.samples} ${r.samples === "synthetic" ? "made-up samples (give your own with --samples)" : "samples"}.`,
          ...comparison.notes,
        ]
      : ["Not verified."]),
    ...(r.artifact
      ? [
          `Wrote ${r.artifact.path}${r.artifact.files.length > 1 ? ` and ${r.artifact.files.length - 1} file beside it` : ""}.`,
        ]
      : []),
  ];
  return `${parts.join("\n\n")}\n`;
}
