import { elementCount, type Model, type ResidentTensor, resident, run, tensor, type Values } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import { float16ToFloat32, float32ToFloat16, numbersOf } from "@pare/ops/numeric";
import { fixShapes, optimize } from "@pare/optimize";
import { litert } from "@pare/runtime-litert";
import { ort } from "@pare/runtime-ort";
import { lowerToTflite, modelBytes } from "@pare/tflite";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { inputsFor, realModels } from "../real-models.ts";
import { litertFile } from "../tflite-run.ts";

/** Shapes at which text is found, read and turned. */
const shapes: Readonly<Record<string, readonly number[]>> = {
  ch_PP_OCRv4_det_infer: [1, 3, 320, 320],
  en_PP_OCRv4_rec_infer: [1, 3, 48, 320],
  ch_ppocr_mobile_v2: [1, 3, 48, 192],
};

/** Weights of fewer elements stay float32 in a file of float16, but for the biases of others. */
const MOST_SMALL = 256;

/** The model with weights that float16 holds, as the file stores them. */
async function rounded(model: Model): Promise<Model> {
  const weights = new Map(model.graph.weights);
  const isLarge = (name: string | undefined) => (weights.get(name ?? "")?.byteLength ?? 0) >= 4 * MOST_SMALL;
  const biases = new Set(
    model.graph.nodes.filter((n) => /^(Conv|Gemm)$/.test(n.op) && isLarge(n.inputs[1])).map((n) => n.inputs[2]),
  );
  for (const [name, t] of weights) {
    if (t.dtype !== "float32" || !(isLarge(name) || biases.has(name))) continue;
    const values = Float32Array.from(numbersOf(await resident(t)), Number);
    weights.set(name, tensor("float32", t.shape, float16ToFloat32(float32ToFloat16(values))));
  }
  return { ...model, graph: { ...model.graph, weights } };
}

/** A value of four and more dimensions with its channels last. */
function channelsLast(t: ResidentTensor): ResidentTensor {
  const [n, c, ...rest] = t.shape as [number, number, ...number[]];
  if (rest.length < 2) return t;
  const places = elementCount(rest);
  const from = numbersOf(t);
  const to = new Float32Array(from.length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++)
      for (let p = 0; p < places; p++) to[(i * places + p) * c + k] = Number(from[(i * c + k) * places + p]);
  return tensor("float32", [n, ...rest, c], to);
}

const allLast = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, t]) => [name, channelsLast(t)]));

function worst(got: Values, expected: Values): number {
  let most = 0;
  for (const [name, t] of Object.entries(expected)) {
    const [a, b] = [numbersOf(got[name]!), numbersOf(t)];
    for (let i = 0; i < b.length; i++) most = Math.max(most, Math.abs(Number(a[i]) - Number(b[i])));
  }
  return most;
}

async function tfliteModels(ctx: BenchContext): Promise<BenchResult> {
  const cases: BenchCase[] = [];
  const files = await litertFile(litert());
  const figures = { models: 0, worstFloat32: 0, worstFloat16: 0, refused: 0 };
  try {
    // Voice detectors have branches on a sample rate; they are none of the networks that are asked for.
    const models = realModels(ctx.data).filter((m) => !m.name.startsWith("silero"));
    for (const { name, file, shapes: usual } of ctx.quick ? models.slice(0, 3) : models) {
      ctx.signal.throwIfAborted();
      ctx.progress(name);
      const source = await openOnnx(file);
      try {
        const own = Object.entries(shapes).find(([key]) => name.startsWith(key))?.[1];
        const [input] = source.model.graph.inputs as [{ readonly name: string }];
        const given = { [input.name]: [...(own ?? [1, ...(usual[input.name] ?? []).slice(1)])] };
        const { model } = await run([fixShapes(given), optimize()], source.model, { signal: ctx.signal });
        const inputs = inputsFor(model, given);
        figures.models++;
        for (const weights of ["float32", "float16"] as const) {
          const reference = weights === "float16" ? await rounded(model) : model;
          const session = await ort().prepare(reference, { signal: ctx.signal });
          const expected = await session.run(inputs);
          await session.close();
          try {
            const lowered = lowerToTflite(model, { weights });
            const bytes = await modelBytes(lowered.model);
            const nhwc = lowerToTflite(model, { weights, nhwc: true });
            const got = await files.run(bytes, inputs, ctx.signal);
            const ms = await files.measure(bytes, inputs, ctx.signal);
            const nhwcGot = await files.run(await modelBytes(nhwc.model), allLast(inputs), ctx.signal);
            const maxDiff = Math.max(worst(got, expected), worst(nhwcGot, allLast(expected)));
            const key = weights === "float32" ? "worstFloat32" : "worstFloat16";
            figures[key] = Math.max(figures[key], maxDiff);
            cases.push({
              name,
              weights,
              maxDiff,
              bytes: bytes.length,
              operators: operatorsIn(lowered),
              operatorsNhwc: operatorsIn(nhwc),
              decoders: lowered.model.graphs[0]!.operators.length - operatorsIn(lowered),
              transposes: transposesIn(lowered),
              transposesNhwc: transposesIn(nhwc),
              ms,
            });
          } catch (error) {
            figures.refused++;
            cases.push({ name, weights, problem: (error as Error).message.split("\n")[0]! });
          }
        }
      } finally {
        await source.close();
      }
    }
  } finally {
    await files.close();
  }
  return {
    figures,
    cases,
    notes: [
      "Differences are the worst of both layouts; weights of float16 against ONNX Runtime with the same rounded weights.",
      "decoders are the DEQUANTIZE of stored float16, which XNNPACK folds when it loads the file; operators are the others.",
    ],
  };
}

/** Operators that are run: stored float16 is decoded when a file is loaded. */
const operatorsIn = ({ model }: ReturnType<typeof lowerToTflite>): number =>
  model.graphs[0]!.operators.filter((o) => o.code.builtin !== "DEQUANTIZE").length;

const transposesIn = ({ model }: ReturnType<typeof lowerToTflite>): number =>
  model.graphs[0]!.operators.filter((o) => o.code.builtin === "TRANSPOSE").length;

export const tfliteModelsBenchmark: Benchmark = {
  name: "tflite-models",
  about:
    "OCR and image networks as TFLite: difference to ONNX Runtime, size, operators, transpositions, time in LiteRT",
  run: tfliteModels,
};
