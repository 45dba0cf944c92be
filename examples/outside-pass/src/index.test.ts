import { dataOf, resident, run, type Tensor, tensor } from "@pare/core";
import { parse } from "@pare/core/parse";
import { passLaws } from "@pare/testing";
import { describe, expect, test } from "vitest";
import { clipOutliers } from "./index.ts";

describe("clipOutliers", () => {
  for (const law of passLaws(clipOutliers, { prepares: true }))
    test.skipIf(law.skipped !== undefined)(law.name, law.run);

  test("cuts what is far out and nothing else", async () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
    values[7] = 50;
    const model = parse("main (x: float32[N,100]) => (y: float32[N,10]) { w: float32[100,10] = …  y = MatMul(x, w) }", {
      weights: { w: tensor("float32", [100, 10], values) },
    });
    const clipped = await run(clipOutliers({ deviations: 3 }), model);
    const got = dataOf(await resident(clipped.model.graph.weights.get("w") as Tensor<"float32">));
    expect(got[7]).toBeLessThan(10);
    expect(got.filter((_, i) => i !== 7)).toEqual(values.filter((_, i) => i !== 7));
  });
});
