import { isPareError, type ResidentTensor, type Values } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import { type TfjsRuntime, tfjs } from "@pare/runtime-tfjs";
import { atolOf, isTensor } from "../answers.ts";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { type NodeTest, readNodeTests, recordedRun } from "../node-tests.ts";
import { difference } from "./evaluate.ts";

/** Rounding of float32, and TensorFlow's approximation of erf, which is off by up to 1.5e-7. */
const ATOL = 1e-5;

type Judged =
  | { readonly outcome: "right"; readonly evaluated: readonly string[] }
  | { readonly outcome: "wrong" | "refused"; readonly why: string };

async function judge(test: NodeTest, runtime: TfjsRuntime, signal: AbortSignal): Promise<Judged> {
  const { inputs, outputs } = await recordedRun(test);
  try {
    const { model } = await openOnnx(test.model);
    const session = await runtime.prepare(model, { signal });
    try {
      const feeds = Object.fromEntries(
        [...inputs].filter((entry): entry is [string, ResidentTensor] => isTensor(entry[1])),
      );
      const got: Values = await session.run(feeds, { signal });
      for (const [name, recorded] of outputs) {
        const value = got[name];
        const wrong = value ? difference(value, recorded, atolOf(recorded, ATOL)) : "it is missing";
        if (wrong) return { outcome: "wrong", why: `${name}: ${wrong}` };
      }
      return { outcome: "right", evaluated: [...session.evaluated] };
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!isPareError(error)) throw error;
    const { code, message } = error.diagnostics[0]!;
    return { outcome: "refused", why: `${code}: ${message.split("\n")[0]}` };
  }
}

export const tfjsNodeTestsBenchmark: Benchmark = {
  name: "tfjs-node-tests",
  about: "ONNX node tests in TensorFlow.js, against their recorded outputs",
  async run(ctx) {
    const tests = readNodeTests(ctx).filter((t) => !t.random);
    const figures: Record<string, number> = { total: tests.length };
    const cases: BenchCase[] = [];
    for (const backend of ["cpu", "wasm"]) {
      const runtime = tfjs({ backend });
      const counts = { right: 0, evaluated: 0, refused: 0, failed: 0, wrong: 0 };
      for (const [i, test] of tests.entries()) {
        ctx.signal.throwIfAborted();
        if (i % 100 === 0) ctx.progress(`${backend}: ${i} of ${tests.length}`);
        const judged = await judge(test, runtime, ctx.signal);
        if (judged.outcome === "right") {
          counts.right++;
          if (judged.evaluated.length > 0) counts.evaluated++;
          continue;
        }
        counts[judged.outcome]++;
        if (judged.why.startsWith("tfjs/failed")) counts.failed++;
        cases.push({ name: test.name, backend, what: judged.outcome, why: judged.why });
      }
      for (const [name, n] of Object.entries(counts))
        figures[`${backend}${name[0]!.toUpperCase()}${name.slice(1)}`] = n;
    }
    return {
      figures,
      cases,
      notes: [
        "evaluated, counted as right: nodes in it were left to the evaluator: shapes, integers, places.",
        "failed, counted as refused: TensorFlow.js threw in a run.",
      ],
    };
  },
};
