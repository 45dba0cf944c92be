import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { formatDiagnostic, isPareError } from "@pare/core";
import { table, textTable } from "@pare/report";
import type { Benchmark } from "./benchmark.ts";

/** Each is loaded when it is asked for: their engines are heavy. */
const benchmarks: ReadonlyMap<string, { readonly about: string; readonly load: () => Promise<Benchmark> }> = new Map([
  [
    "onnx-roundtrip",
    {
      about: "ONNX node tests through reader and writer",
      load: async () => (await import("./cases/onnx-roundtrip.ts")).onnxRoundtripBenchmark,
    },
  ],
  [
    "upgrade",
    {
      about: "node tests and generated models of old opsets: upgraded, written, downgraded; evaluator and ONNX Runtime",
      load: async () => (await import("./cases/upgrade.ts")).upgradeBenchmark,
    },
  ],
  [
    "evaluate",
    {
      about: "ONNX node tests in the evaluator, against their recorded outputs",
      load: async () => (await import("./cases/evaluate.ts")).evaluateNodeTests,
    },
  ],
  [
    "tfjs-node-tests",
    {
      about: "ONNX node tests in TensorFlow.js, against their recorded outputs",
      load: async () => (await import("./cases/tfjs-node-tests.ts")).tfjsNodeTestsBenchmark,
    },
  ],
  [
    "tfjs-models",
    {
      about: "real models in TensorFlow.js: difference from ONNX Runtime, and how long a run takes beside it",
      load: async () => (await import("./cases/tfjs-models.ts")).tfjsModelsBenchmark,
    },
  ],
  [
    "infer-shapes",
    {
      about: "shapes inferred in node tests and real models, against runs and onnx.shape_inference",
      load: async () => (await import("./cases/infer-shapes.ts")).inferShapes,
    },
  ],
  [
    "optimize",
    {
      about:
        "nodes and bytes that optimize leaves of real models, against onnxsim and onnxslim; answers in ONNX Runtime",
      load: async () => (await import("./cases/optimize.ts")).optimizeBenchmark,
    },
  ],
  [
    "optimize-nodes",
    {
      about: "node tests optimized with inputs, with all but one frozen and with none: answers in ONNX Runtime",
      load: async () => (await import("./cases/optimize-nodes.ts")).optimizeNodes,
    },
  ],
  [
    "scale",
    {
      about: "reading, upgrading, optimizing, verifying and writing graphs of 10,000 and 100,000 nodes",
      load: async () => (await import("./cases/scale.ts")).scale,
    },
  ],
  [
    "fuzz",
    {
      about:
        "seeded mutants of real files through all readers: crashes, hangs, memory, answers that ONNX Runtime contradicts",
      load: async () => (await import("./cases/fuzz.ts")).fuzz,
    },
  ],
  [
    "big-model",
    {
      about: "int8 weights of a 4 GiB model: time against a copy, peak memory",
      load: async () => (await import("./cases/big-model.ts")).bigModel,
    },
  ],
  [
    "weights-throughput",
    {
      about: "GB/s of float16 and int8 weights against a copy in memory",
      load: async () => (await import("./cases/weights-throughput.ts")).weightsThroughput,
    },
  ],
  [
    "size",
    {
      about: "bytes of the core and of a pass, installed packages, start of the command",
      load: async () => (await import("./cases/size.ts")).size,
    },
  ],
  [
    "ocr",
    {
      about: "200 rendered lines read by the source, float16 and int8 weights",
      load: async () => (await import("./cases/ocr.ts")).ocr,
    },
  ],
  [
    "int8-accuracy",
    {
      about: "static int8 of classifiers against float32",
      load: async () => (await import("./cases/int8-accuracy.ts")).int8Accuracy,
    },
  ],
  [
    "int8-ocr",
    {
      about: "static int8 of the OCR recogniser, and autoFix",
      load: async () => (await import("./cases/int8-ocr.ts")).int8Ocr,
    },
  ],
  [
    "calibration",
    {
      about: "time and memory of int8 calibration: the OCR detector at 640x640, 10 to 1,000 samples",
      load: async () => (await import("./cases/calibration.ts")).calibration,
    },
  ],
  [
    "int8-latency",
    {
      about: "int8 against float32 in ONNX Runtime, per network; where it is slower, whether the report says so",
      load: async () => (await import("./cases/int8-latency.ts")).int8Latency,
    },
  ],
  [
    "int4",
    {
      about: "block-wise int4 weights of a transformer and of the OCR recogniser, against ONNX Runtime's quantizer",
      load: async () => (await import("./cases/int4.ts")).int4,
    },
  ],
  [
    "tflite-node-tests",
    {
      about: "ONNX node tests as TFLite in LiteRT, against their recorded outputs",
      load: async () => (await import("./cases/tflite-node-tests.ts")).tfliteNodeTestsBenchmark,
    },
  ],
  [
    "tflite-models",
    {
      about:
        "OCR and image networks as TFLite: difference to ONNX Runtime, size, operators, transpositions, time in LiteRT",
      load: async () => (await import("./cases/tflite-models.ts")).tfliteModelsBenchmark,
    },
  ],
  [
    "tflite-cost",
    {
      about: "time and memory of conversion to TFLite: the OCR detector, and a model of 100 MB",
      load: async () => (await import("./cases/tflite-cost.ts")).tfliteCostBenchmark,
    },
  ],
  [
    "tflite-roundtrip",
    {
      about: "TFLite files of others through reader and writer, both run in LiteRT",
      load: async () => (await import("./cases/tflite-roundtrip.ts")).tfliteRoundtripBenchmark,
    },
  ],
  [
    "gradients",
    {
      about: "gradient rules against central differences of the float64 evaluator and against TensorFlow.js",
      load: async () => (await import("./cases/gradients.ts")).gradientsBenchmark,
    },
  ],
  [
    "gradient-formulations",
    {
      about: "milliseconds of the gradients of convolutions in each formulation, and which one is chosen",
      load: async () => (await import("./cases/gradient-formulations.ts")).gradientFormulations,
    },
  ],
  [
    "train-step",
    {
      about: "a step of training at batch 256 on 2 threads, per network, beside PyTorch's",
      load: async () => (await import("./cases/train-step.ts")).trainStep,
    },
  ],
  [
    "resume",
    {
      about: "training killed at random moments and resumed, against an unbroken run, bit for bit",
      load: async () => (await import("./cases/resume.ts")).resume,
    },
  ],
  [
    "distill",
    {
      about: "Fashion-MNIST: a student of 1/20 of its teacher's parameters, alone and distilled (--full: an hour)",
      load: async () => (await import("./cases/distill.ts")).distill,
    },
  ],
  [
    "qat-smoke",
    {
      about: "int4 weights of ResNet-8: post-training against two epochs of straight-through training",
      load: async () => (await import("./cases/qat-smoke.ts")).qatSmoke,
    },
  ],
  [
    "vgg16",
    {
      about: "threshold and float16 on VGG16 at full size",
      load: async () => (await import("./cases/vgg16.ts")).vgg16,
    },
  ],
]);

const usage = `npm run bench -- NAME [--json] [--quick] [--full] [--keep DIR] [--data DIR]\n\n${[...benchmarks].map(([name, { about }]) => `  ${name.padEnd(20)} ${about}`).join("\n")}\n`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      keep: { type: "string" },
      data: { type: "string", default: "../shared" },
      help: { type: "boolean", default: false },
    },
  });
  const [name] = positionals;
  if (!name || values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const found = benchmarks.get(name);
  if (!found || positionals.length > 1) {
    process.stderr.write(`There is no benchmark ${positionals.join(" ")}.\n\n${usage}`);
    return 2;
  }
  // npm runs scripts in the workspace's root; what the user typed is relative to where they are.
  const from = (path: string) => resolve(process.env["INIT_CWD"] ?? ".", path);
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort(new Error("interrupted")));
  const benchmark = await found.load();
  const result = await benchmark.run({
    data: from(values.data),
    quick: values.quick,
    full: values.full,
    keep: values.keep === undefined ? undefined : from(values.keep),
    signal: abort.signal,
    progress: (text) => process.stderr.write(`${text}\n`),
  });
  const columns = [...new Set(result.cases.flatMap((c) => Object.keys(c)))];
  const figures = Object.entries(result.figures).map(([figure, value]) => ({ figure, value }));
  if (columns.length > 0) process.stdout.write(`${textTable(table(columns, result.cases))}\n\n`);
  process.stdout.write(`${textTable(table(["figure", "value"], figures))}\n`);
  for (const note of result.notes ?? []) process.stdout.write(`${note}\n`);
  if (values.json)
    process.stdout.write(`${JSON.stringify({ bench: name, figures: result.figures, cases: result.cases })}\n`);
  return 0;
}

/** Ends the process once all that was written is with its reader. */
const end = (code: number) => process.stdout.write("", () => process.exit(code));

main().then(end, (error: unknown) => {
  const text = isPareError(error)
    ? error.diagnostics.map(formatDiagnostic).join("\n")
    : String((error as Error)?.stack ?? error);
  process.stderr.write(`${text}\n`);
  end(1);
});
