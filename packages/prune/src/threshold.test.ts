import { dataOf, type Model, resident, run, type Tensor, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { passLaws } from "@pare/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sparsityOf, threshold } from "./index.ts";

describe("threshold", () => {
  for (const law of passLaws(threshold, { options: { ratio: 0.3 }, prepares: true }))
    test.skipIf(law.skipped !== undefined)(law.name, { timeout: 60_000 }, law.run);

  const matmul = (w: Tensor): Model =>
    parse(`main (x: float32[N,${w.shape[0]}]) => (y) { w: float32[${w.shape}] = …  y = MatMul(x, w) }`, {
      weights: { w },
    });

  test("zeroes exactly what is below the ratio of the mean magnitude", async () => {
    const numbers = fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 12, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(numbers, fc.double({ min: 0, max: 2, noNaN: true }), async (values, ratio) => {
        const w = tensor("float32", [4, 3], values);
        const { model } = await run(threshold({ ratio }), matmul(w));
        const got = dataOf(await resident(model.graph.weights.get("w") as Tensor<"float32">));
        const limit = (ratio * values.reduce((s, v) => s + Math.abs(v), 0)) / values.length;
        // Sums may differ in their last bits; a value that close to the limit may go either way.
        values.forEach((v, i) => {
          if (Math.abs(Math.abs(v) - limit) > 1e-9 * limit) expect(got[i]).toBe(Math.abs(v) < limit ? 0 : v);
        });
      }),
    );
  });

  test("reports the sparsity of each tensor when it is asked", async () => {
    const w = tensor("float32", [4, 2], [10, 0.1, -10, 0.2, 10, 0.3, 10, -10]);
    const { report } = await run(threshold({ ratio: 0.1 }), matmul(w));
    const sparsity = report.passes[0]!.done[0]!.facts!["sparsity"] as () => Promise<number>;
    expect(await sparsity()).toBe(3 / 8);
    expect(await sparsityOf(w)).toBe(0);
  });

  test("weights that are quantized already are left alone, with the reason", async () => {
    const m = parse(`main (x: float32[N,4]) => (y) {
      q: int8[4,2] = {1, 2, 3, 4, 5, 6, 7, 8}  s: float32[] = {0.5}
      w = DequantizeLinear(q, s)
      y = MatMul(x, w)
    }`);
    const { model, report } = await run(threshold(), m);
    expect(model).toBe(m);
    expect(report.passes[0]!.skipped.map((s) => [s.name, s.reason])).toEqual([["q", "is int8, not float32"]]);
  });
});
