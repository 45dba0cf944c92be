import { definePass, deriveTensor, edit, PASS_API_VERSION, type Tensor } from "@pare/core";
import * as v from "valibot";

/**
 * Clips weights to `deviations` standard deviations around the mean of their tensor, so that one outlier does not
 * stretch the scale of all others when they are quantized. Any Standard Schema describes the options: here valibot.
 */
export const clipOutliers = definePass({
  name: "pare-plugin-clip-outliers",
  apiVersion: PASS_API_VERSION,
  options: v.strictObject({ deviations: v.optional(v.pipe(v.number(), v.minValue(1)), 6) }),
  run: (model, { deviations }, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights({
        ops: new Map([
          ["Conv", [1]],
          ["Gemm", [1]],
          ["MatMul", [0, 1]],
        ]),
      })) {
        if (w.tensor.dtype !== "float32") {
          ctx.skip(w, `is ${w.tensor.dtype}`);
          continue;
        }
        e.setWeight(w, clip(w.tensor as Tensor<"float32">, deviations));
        ctx.done(w);
      }
    }),
});

function clip(weight: Tensor<"float32">, deviations: number): Tensor<"float32"> {
  return deriveTensor(weight, {
    key: `clip-outliers@1:${deviations}`,
    async prepare(chunks) {
      let count = 0;
      let sum = 0;
      let squares = 0;
      for await (const { data } of chunks) {
        for (const x of data) {
          sum += x;
          squares += x * x;
        }
        count += data.length;
      }
      const mean = count > 0 ? sum / count : 0;
      const reach = count > 0 ? deviations * Math.sqrt(Math.max(0, squares / count - mean * mean)) : 0;
      return { low: mean - reach, high: mean + reach };
    },
    map: (data, { low, high }) => data.map((x) => (x < low ? low : x > high ? high : x)),
  });
}
