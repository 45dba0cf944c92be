import { passLaws } from "@pare/testing";
import { describe, test } from "vitest";
import {
  biasCorrection,
  blockWeights,
  dynamicInt8,
  equalize,
  fixedPoint,
  float16,
  int8,
  int8Weights,
  int12Weights,
  smoothQuant,
} from "./index.ts";
import { anyHost } from "./test/statistics.ts";

const passes = [
  ["int8Weights", int8Weights, { granularity: "channel" }],
  ["int8Weights, blocks, asymmetric", int8Weights, { granularity: "block", symmetric: false }],
  ["blockWeights", blockWeights, {}],
  ["blockWeights, 8 bits, symmetric", blockWeights, { bits: 8, symmetric: true, blockSize: 16 }],
  ["int12Weights", int12Weights, {}],
  ["dynamicInt8", dynamicInt8, {}],
  ["dynamicInt8, convolutions too", dynamicInt8, { ops: ["MatMul", "Gemm", "Conv"], granularity: "tensor" }],
  ["fixedPoint", fixedPoint, { bits: 8 }],
  ["float16", float16, {}],
  ["equalize", equalize, {}],
  ["float16 weights", float16, { compute: "float32" }],
] as const;

/** Passes that look at statistics, by inputs of their layers where they can. */
const measuring = [
  ["int8", int8, {}],
  ["int8, gptq, one scale", int8, { rounding: "gptq", granularity: "tensor" }],
  ["biasCorrection", biasCorrection, {}],
  ["smoothQuant", smoothQuant, {}],
  ["blockWeights, gptq", blockWeights, { rounding: "gptq" }],
  ["int8Weights, gptq", int8Weights, { rounding: "gptq" }],
  ["int12Weights, gptq", int12Weights, { rounding: "gptq" }],
] as const;

const subjects = [...passes.map((p) => [...p, {}] as const), ...measuring.map((p) => [...p, anyHost] as const)];

for (const [name, factory, options, host] of subjects)
  describe(name, () => {
    const skip = Object.values(options).includes("gptq")
      ? { "makes a weight that is larger than memory without holding it": "GPTQ rounds a weight as a whole" }
      : {};
    const prepares = [int8, int8Weights, int12Weights, blockWeights, dynamicInt8].some((f) => f === factory);
    for (const law of passLaws(factory as Parameters<typeof passLaws>[0], { options, prepares, host, skip }))
      test.skipIf(law.skipped !== undefined)(law.name, { timeout: 60_000 }, law.run);
  });
