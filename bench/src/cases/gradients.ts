import { isPareError } from "@pare/core";
import { tfjs } from "@pare/runtime-tfjs";
import { checkGradients } from "@pare/train/check";
import { operatorChecks } from "@pare/train/check-cases";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { tensorflowDifference } from "../tensorflow-gradients.ts";

/**
 * Every gradient rule on the cases of its operator: the analytic gradient against central differences, both in float64, and
 * against TensorFlow.js where it has the operator and a gradient of it (float32 there: differences up to 1e-5 are its
 * rounding).
 */
export const gradientsBenchmark: Benchmark = {
  name: "gradients",
  about: "gradient rules against central differences of the float64 evaluator and against TensorFlow.js",
  async run(ctx) {
    const rows = new Map<string, { cases: number; worst: number; refused: number; tensorflow: number | undefined }>();
    const notes: string[] = [];
    let compared = 0;
    const checks = operatorChecks();
    const runtime = tfjs({ backend: "cpu" });
    for (const [i, check] of checks.entries()) {
      const { name, op, model, inputs, formulations } = check;
      ctx.signal.throwIfAborted();
      if (i % 50 === 0) ctx.progress(`${i} of ${checks.length} cases`);
      const row = rows.get(op) ?? { cases: 0, worst: 0, refused: 0, tensorflow: undefined };
      rows.set(op, row);
      try {
        const checked = await checkGradients(model, inputs, {
          signal: ctx.signal,
          elements: ctx.quick ? 8 : 64,
          ...(formulations && { formulations }),
        });
        row.cases++;
        row.worst = Math.max(row.worst, checked.worst);
        const difference = await tensorflowDifference(runtime, check, checked, ctx.signal);
        if (typeof difference === "number") {
          row.tensorflow = Math.max(row.tensorflow ?? 0, difference);
          compared++;
        } else notes.push(`${name} is not compared with TensorFlow.js: ${difference}`);
      } catch (error) {
        if (!isPareError(error)) throw error;
        row.refused++;
        notes.push(`${name} is refused: ${error.diagnostics[0]!.message}`);
      }
    }
    const measured = [...rows].filter(([, r]) => r.cases > 0);
    const cases = measured
      .sort(([a], [b]) => a.localeCompare(b))
      .map(
        ([name, { cases: count, worst, tensorflow }]): BenchCase => ({
          name,
          cases: count,
          worst: round(worst),
          tensorflow: tensorflow === undefined ? "" : round(tensorflow),
        }),
      );
    const differences = measured.flatMap(([, r]) => (r.tensorflow === undefined ? [] : [r.tensorflow]));
    return {
      figures: {
        rules: measured.length,
        worst: Math.max(...measured.map(([, r]) => r.worst)),
        tensorflowRules: differences.length,
        tensorflowCases: compared,
        worstToTensorflow: Math.max(0, ...differences),
      },
      cases,
      notes,
    };
  },
};

const round = (v: number) => Number(v.toPrecision(2));
