import { isFloat, isPareError, type Model, type Values } from "@pare/core";
import { build, lenetCaffe } from "@pare/nn";
import { openOnnx } from "@pare/onnx";
import { numbersOf } from "@pare/ops/numeric";
import { ort } from "@pare/runtime-ort";
import { type TfjsSession, tfjs } from "@pare/runtime-tfjs";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { inputsFor, realModels } from "../real-models.ts";

const BACKENDS = ["wasm", "cpu"];

interface Subject {
  readonly name: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  open(): Promise<{ readonly model: Model; close(): Promise<void> }>;
}

const lenet: Subject = {
  name: "lenet",
  shapes: { image: [3, 1, 28, 28] },
  open: async () => ({
    model: build(lenetCaffe(), { input: [1, 28, 28], inputName: "image", seed: 0 }),
    close: async () => {},
  }),
};

/** The largest difference of all outputs, relative to the largest number of each (at least 1e-3); Infinity where integers differ. */
function differenceOf(expected: Values, got: Values): number {
  return Math.max(
    0,
    ...Object.entries(expected).map(([name, e]) => {
      const [a, b] = [numbersOf(e), numbersOf(got[name]!)];
      if (!isFloat(e.dtype)) return a.every((v, i) => v === b[i]) ? 0 : Number.POSITIVE_INFINITY;
      const largest = a.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-3);
      return a.reduce((worst, v, i) => Math.max(worst, Math.abs(v - b[i]!) / largest), 0);
    }),
  );
}

export const tfjsModelsBenchmark: Benchmark = {
  name: "tfjs-models",
  about: "real models in TensorFlow.js: difference from ONNX Runtime, and how long a run takes beside it",
  async run(ctx) {
    const cases: BenchCase[] = [];
    const figures: Record<string, number> = {};
    const subjects: readonly Subject[] = [
      lenet,
      ...realModels(ctx.data).map((m) => ({ ...m, open: () => openOnnx(m.file) })),
    ];
    const reference = ort({ isolate: false, threads: 1 });
    for (const backend of BACKENDS)
      Object.assign(figures, { [`${backend}Models`]: 0, [`${backend}Worst`]: 0, [`${backend}Refused`]: 0 });
    for (const { name, shapes, open } of subjects) {
      ctx.signal.throwIfAborted();
      const source = await open();
      try {
        const inputs = inputsFor(source.model, shapes);
        const runs = { runs: ctx.quick ? 1 : 5, warmup: 1, signal: ctx.signal };
        const session = await reference.prepare(source.model);
        const expected = await session.run(inputs);
        const ortMs = (await session.measure(inputs, runs)).medianMs;
        await session.close();
        for (const backend of BACKENDS) {
          ctx.progress(`${name} in ${backend}`);
          let engine: TfjsSession | undefined;
          try {
            engine = await tfjs({ backend }).prepare(source.model);
            const worst = differenceOf(expected, await engine.run(inputs, { signal: ctx.signal }));
            const ms = (await engine.measure(inputs, runs)).medianMs;
            figures[`${backend}Models`]!++;
            figures[`${backend}Worst`] = Math.max(figures[`${backend}Worst`]!, worst);
            const evaluated = [...engine.evaluated].sort().join(" ");
            const row = { worst: short(worst), ms: short(ms), ortMs: short(ortMs), times: short(ms / ortMs) };
            cases.push({ name, backend, ...row, evaluated });
          } catch (error) {
            if (!isPareError(error)) throw error;
            figures[`${backend}Refused`]!++;
            cases.push({ name, backend, evaluated: error.diagnostics[0]!.message });
          } finally {
            await engine?.close();
          }
        }
      } finally {
        await source.close();
      }
    }
    return {
      figures,
      cases,
      notes: [
        "worst: largest difference from ONNX Runtime, relative to the largest number of an output, at least 1e-3.",
        "The voice models take logarithms of the spectrum of a pure wave, nearly all of which is rounding.",
        `ms, ortMs: median of ${ctx.quick ? 1 : 5} runs, one thread each; times: of the first to the second.`,
        "evaluated: operators of which the evaluator computed nodes, or why a model is refused.",
      ],
    };
  },
};

const short = (v: number) => Number(v.toPrecision(3));
