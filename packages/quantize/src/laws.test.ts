import { passLaws } from "@pare/testing";
import { describe, test } from "vitest";
import { blockWeights, dynamicInt8, equalize, fixedPoint, float16, int8Weights } from "./index.ts";

const passes = [
  ["int8Weights", int8Weights, { granularity: "channel" }],
  ["int8Weights, blocks, asymmetric", int8Weights, { granularity: "block", symmetric: false }],
  ["blockWeights", blockWeights, {}],
  ["blockWeights, 8 bits, symmetric", blockWeights, { bits: 8, symmetric: true, blockSize: 16 }],
  ["dynamicInt8", dynamicInt8, {}],
  ["dynamicInt8, convolutions too", dynamicInt8, { ops: ["MatMul", "Gemm", "Conv"], granularity: "tensor" }],
  ["fixedPoint", fixedPoint, { bits: 8 }],
  ["float16", float16, {}],
  ["equalize", equalize, {}],
  ["float16 weights", float16, { compute: "float32" }],
] as const;

for (const [name, factory, options] of passes)
  describe(name, () => {
    for (const law of passLaws(factory as Parameters<typeof passLaws>[0], {
      options,
      prepares: [int8Weights, blockWeights, dynamicInt8].some((f) => f === factory),
    }))
      test.skipIf(law.skipped !== undefined)(law.name, { timeout: 60_000 }, law.run);
  });
