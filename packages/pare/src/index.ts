/**
 * Everything that an application needs, by one import. Packages of their own hold the rest: operators in `@pare/ops`,
 * files in `@pare/io`, what plugins build on in `@pare/core`.
 */
export {
  type Artifact,
  type Diagnostic,
  definePass,
  isPareError,
  type Model,
  PareError,
  type Pass,
  type Progress,
  pipeline,
  type Report,
  type ResidentTensor,
  type Runtime,
  type Samples,
  type Session,
  type Source,
  samplesFrom,
  type Tensor,
  takeSamples,
  tensor,
  type Values,
} from "@pare/core";
export { print } from "@pare/core/print";
export { folderSink, folderStore, memorySink, openSource, readIdx, readNpy, readNpz } from "@pare/io";
export { openOnnx, ortArm, ortWeb, ortX64, writeOnnx } from "@pare/onnx";
export { optimize } from "@pare/optimize";
export { threshold } from "@pare/prune";
export {
  autoFix,
  biasCorrection,
  characters,
  cosine,
  equalize,
  fixedPoint,
  float16,
  int8,
  int8Weights,
  int12Weights,
  iou,
  top1,
} from "@pare/quantize";
export {
  compare,
  diffGraphs,
  formatDiff,
  gzipSize,
  htmlReport,
  measureReport,
  sizeOf,
  table,
  textTable,
} from "@pare/report";
export { litert } from "@pare/runtime-litert";
export { ort } from "@pare/runtime-ort";
export { tfjs } from "@pare/runtime-tfjs";
export { openTflite } from "@pare/tflite";
export { type Benchmark, benchmark } from "./bench.ts";
export { type CompressOptions, type CompressResult, compress } from "./compress.ts";
export { defineConfig, type PareConfig } from "./config.ts";
export { type Coverage, coverageOf } from "./coverage.ts";
export { diagnosisSections } from "./diagnosis-text.ts";
export { type ImageSamples, images } from "./images/images.ts";
export type { FullPreprocessing, Preprocessing } from "./images/preprocess.ts";
export { type Input, openInput } from "./input.ts";
export { type Inspection, type InspectOptions, inspect } from "./inspect.ts";
export { type Latency, type LatencyInTurns, latencies } from "./latency.ts";
export { comparisonSections, compressSections } from "./page.ts";
export { predictBytes } from "./predict.ts";
export { run } from "./run.ts";
export { samplesFromFiles } from "./sample-files.ts";
export { trialsSection } from "./search-text.ts";
export { suffixOf } from "./suffix.ts";
export { type SyntheticOptions, syntheticSamples } from "./synthetic.ts";
