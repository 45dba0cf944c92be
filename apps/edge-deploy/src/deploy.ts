import { join } from "node:path";
import { type Diagnostic, type Model, type Pass, samplesFrom, type Values } from "@pare/core";
import { foldConstants, optimize } from "@pare/optimize";
import { biasCorrection, equalize, fixedPoint, float16, int8, int8Weights } from "@pare/quantize";
import { type Comparison, type MeasuredPass, measureReport, nodeCount, type Section } from "@pare/report";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { lowerToTflite, type TfliteWriteOptions } from "@pare/tflite";
import { compress, diagnosisSections, ortX64, trialsSection } from "pare";
import type { Answer, Job } from "./jobs.ts";

/** A way to make a model smaller. */
export interface Version {
  readonly name: string;
  readonly suffix: string;
  readonly passes: () => readonly Pass[];
  /** Whether inner values are compared as well, to show where in the graph the error arises. */
  readonly inner?: boolean;
  /** Computes in integers, by the job's calibration samples: it is left out for jobs that have none. */
  readonly calibrated?: {
    /** Percentage points that the job's metric may fall by; without it the passes have to do. */
    readonly maxDrop?: number;
  };
  /** Left out of the short run. */
  readonly extra?: boolean;
  /** A TFLite file, run in LiteRT: of the jobs on pictures. */
  readonly tflite?: TfliteWriteOptions;
}

export const versions: readonly Version[] = [
  { name: "optimized", suffix: "_optimized", passes: () => [optimize()] },
  { name: "float16", suffix: "_fp16", passes: () => [optimize(), float16()] },
  {
    name: "float16 weights",
    suffix: "_w16",
    passes: () => [optimize(), float16({ compute: "float32" })],
    extra: true,
  },
  // Before BatchNormalization is folded into weights, which makes some smaller than any step of the grid.
  {
    name: "fixed point 2^-10",
    suffix: "_fixed10",
    passes: () => [foldConstants(), fixedPoint({ bits: 10 }), optimize()],
  },
  { name: "int8 weights", suffix: "_int8", passes: () => [optimize(), int8Weights()], inner: true },
  {
    name: "int8",
    suffix: "_static8",
    passes: () => [optimize(), equalize(), biasCorrection(), int8()],
    calibrated: {},
  },
  { name: "int8, autoFix", suffix: "_fixed8", passes: () => [optimize()], calibrated: { maxDrop: 5 } },
  { name: "TFLite", suffix: "", passes: () => [optimize()], tflite: {} },
  {
    name: "TFLite, float16 weights",
    suffix: "_w16",
    passes: () => [optimize()],
    tflite: { weights: "float16" },
    extra: true,
  },
];

/** The versions that are made of a job's model. */
export const versionsFor = (job: Job, full: boolean): readonly Version[] =>
  versions.filter((v) => (full || !v.extra) && (!v.calibrated || job.calibration) && (!v.tflite || job.images));

/** One version of one model, measured against its source. */
export interface Outcome {
  readonly job: Job;
  readonly version: Version;
  readonly file: string;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Nodes of all graphs. */
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  /** Least SQNR of its outputs in dB. */
  readonly sqnrDb: number;
  /** Mean agreement of the decoded answers, 0 to 1. */
  readonly agreement: number;
  readonly msBefore: number;
  readonly msAfter: number;
  readonly covered: number;
  readonly candidates: number;
  readonly answers: readonly Answer[];
  readonly comparison: Comparison;
  readonly passes: readonly MeasuredPass[];
  /** What was tried, and what quantization did to each layer, of versions that are calibrated. */
  readonly layers: readonly Section[];
  readonly diagnostics: readonly Diagnostic[];
}

/** The answers of a file's model to the job's inputs, in ONNX Runtime. */
export async function answersOf(job: Job, file: string, signal?: AbortSignal): Promise<Answer[]> {
  const session = await ort().prepareFile(file, { ...job.state, ...(signal ? { signal } : {}) });
  try {
    return await job.answers(session, signal);
  } finally {
    await session.close();
  }
}

/** The answers of a model as TFLite in LiteRT, lowered anew for each size of picture. */
async function answersInLitert(
  job: Job,
  model: Model,
  options: TfliteWriteOptions,
  signal?: AbortSignal,
): Promise<Answer[]> {
  const runtime = litert({ lower: async (m) => lowerToTflite(m, options).model });
  const session = await runtime.prepare(model, signal ? { signal } : {});
  try {
    return await job.answers(session, signal);
  } finally {
    await session.close();
  }
}

/** The samples whose shapes are those of the first. */
const alike = (samples: readonly Values[]): readonly Values[] => {
  const shapeOf = (v: Values) =>
    Object.values(v)
      .map((t) => `[${t.shape}]`)
      .join();
  return samples.filter((v) => shapeOf(v) === shapeOf(samples[0]!));
};

/** Of so many of the worst layers the page shows how their numbers are distributed. */
const DISTRIBUTIONS = 2;

/** Makes a version, writes it into `folder`, and measures numbers, answers and time against the source. */
export async function deploy(
  job: Job,
  version: Version,
  source: readonly Answer[],
  folder: string,
  signal?: AbortSignal,
): Promise<Outcome> {
  const file = join(
    folder,
    `${job.name.toLowerCase().replaceAll(" ", "-")}${version.suffix}.${version.tflite ? "tflite" : "onnx"}`,
  );
  // Shapes of a TFLite file are fixed, to those of the first sample.
  const samples = version.tflite ? alike(job.samples) : job.samples;
  const result = await compress(job.file, {
    passes: version.passes(),
    output: file,
    samples: samplesFrom(samples),
    ...(version.tflite ? { tflite: version.tflite } : {}),
    ...(version.calibrated && job.calibration
      ? { target: ortX64, ...version.calibrated, ...job.calibration, samples: samplesFrom(job.calibration.samples) }
      : {}),
    verifySamples: samples.length,
    values: version.inner ? "all" : "outputs",
    latency: { budgetMs: 600 },
    gzip: false,
    distributions: DISTRIBUTIONS,
    // What a version does to the answers is shown, not hidden: nothing is too bad to be measured.
    minSqnrDb: Number.NEGATIVE_INFINITY,
    minCoverage: 0,
    ...(signal ? { signal } : {}),
  });
  try {
    const answers = await (version.tflite
      ? answersInLitert(job, result.model, version.tflite, signal)
      : answersOf(job, file, signal));
    const passes = await measureReport(result.report);
    // What was optimized is seen by the nodes; the coverage is that of the weights.
    const { passes: all } = result.report;
    const ofWeights = all.filter((p) => p.pass !== "optimize" && p.pass !== "fold-constants");
    const counted = ofWeights.length > 0 ? ofWeights : all;
    const formats = [...(result.search?.formats.values() ?? [])];
    return {
      job,
      version,
      file,
      bytesBefore: result.bytes.before,
      bytesAfter: result.bytes.after,
      nodesBefore: nodeCount(result.source),
      nodesAfter: nodeCount(result.model),
      sqnrDb: Math.min(...result.comparison!.outputs.map((o) => o.sqnrDb ?? Number.POSITIVE_INFINITY)),
      agreement: answers.reduce((sum, a, i) => sum + source[i]!.agreement(a), 0) / answers.length,
      msBefore: result.latency!.before.medianMs,
      msAfter: result.latency!.after.medianMs,
      covered: result.search
        ? formats.filter((f) => f === "int8").length
        : counted.reduce((sum, p) => sum + p.done.length, 0),
      candidates: result.search
        ? formats.length
        : counted.reduce((sum, p) => sum + p.done.length + p.skipped.length, 0),
      answers,
      comparison: result.comparison!,
      passes,
      layers: [
        ...(result.search ? [trialsSection(result.search)] : []),
        ...(result.diagnosis ? diagnosisSections(result.diagnosis) : []),
      ],
      diagnostics: result.diagnostics,
    };
  } finally {
    await result.close();
  }
}
