import { isPareError } from "@pare/core";
import { checkGradients } from "@pare/train/check";
import { operatorChecks } from "@pare/train/check-cases";
import type { BenchCase, Benchmark } from "../benchmark.ts";
import { tensorflowGradients } from "../tensorflow-gradients.ts";

/**
 * Every gradient rule on the cases of its operator: the analytic gradient against central differences, both in float64, and
 * against TensorFlow.js where it has the operator (float32 there: differences up to 1e-5 are its rounding).
 */
export const gradientsBenchmark: Benchmark = {
  name: "gradients",
  about: "gradient rules against central differences of the float64 evaluator and against TensorFlow.js",
  async run(ctx) {
    const rows = new Map<string, { cases: number; worst: number; refused: number; tensorflow: number | undefined }>();
    const notes: string[] = [];
    const checks = operatorChecks();
    for (const [i, { name, op, model, inputs, formulations }] of checks.entries()) {
      ctx.signal.throwIfAborted();
      if (i % 50 === 0) ctx.progress(`${i} of ${checks.length} cases`);
      const row = rows.get(op) ?? { cases: 0, worst: 0, refused: 0, tensorflow: undefined };
      rows.set(op, row);
      try {
        const { worst } = await checkGradients(model, inputs, {
          signal: ctx.signal,
          elements: ctx.quick ? 8 : 64,
          ...(formulations && { formulations }),
        });
        row.cases++;
        row.worst = Math.max(row.worst, worst);
      } catch (error) {
        if (!isPareError(error)) throw error;
        row.refused++;
        notes.push(`${name} is refused: ${error.diagnostics[0]!.message}`);
      }
    }
    for (const [op, error] of await tensorflowGradients(ctx.signal)) {
      const row = rows.get(op);
      if (row) row.tensorflow = Math.max(row.tensorflow ?? 0, error);
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
    const compared = measured.flatMap(([, r]) => (r.tensorflow === undefined ? [] : [r.tensorflow]));
    return {
      figures: {
        rules: measured.length,
        worst: Math.max(...measured.map(([, r]) => r.worst)),
        tensorflowRules: compared.length,
        worstToTensorflow: Math.max(0, ...compared),
      },
      cases,
      notes,
    };
  },
};

const round = (v: number) => Number(v.toPrecision(2));
