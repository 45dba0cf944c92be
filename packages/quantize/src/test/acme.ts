import { type CodeFormat, type QuantizationScheme, samplesFrom, type Target, tensor } from "@pare/core";
import { gather } from "@pare/ops/observe";
import { evaluatorRuntime } from "@pare/testing";

export const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
export const numbers = (shape: readonly number[], seed: number, low = -1, high = 1) => {
  const next = random(seed);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => low + (high - low) * next()),
  );
};

export const unsigned: CodeFormat = { dtype: "uint8", symmetric: false, granularity: "tensor" };
export const signed: CodeFormat = { dtype: "int8", symmetric: true, granularity: "channel" };
/** A vendor's chip that nothing here knows: it adds in integers, keeps scales through pooling, and always gives codes. */
export const scheme = (change: Partial<QuantizationScheme> = {}): QuantizationScheme => ({
  activations: unsigned,
  weights: signed,
  bias: "int32",
  operators: new Map([
    ["Conv", { role: "compute", weight: 1, bias: 2, output: "own" }],
    ["Gemm", { role: "compute", weight: 1, bias: 2, output: "float" }],
    ["MaxPool", { role: "carry", output: "input" }],
    ["Flatten", { role: "carry", output: "input" }],
    ["Add", { role: "carry", output: "own" }],
    ["Sigmoid", { role: "carry", output: { scale: 1 / 256, zeroPoint: 0 } }],
  ]),
  fused: [
    ["Conv", "Relu"],
    ["Add", "Relu"],
  ],
  ...change,
});
export const target = (change: Partial<QuantizationScheme> = {}): Target => ({
  name: "acme-npu",
  runtime: "acme",
  opsets: new Map([["", 21]]),
  operators: new Map(),
  dtypes: ["float32", "int8", "uint8"],
  quantization: scheme(change),
});

export const inputs = (count: number, seed: number, shape = [1, 3, 8, 8], low = -1, high = 1) =>
  Array.from({ length: count }, (_, i) => ({ x: numbers(shape, seed + i, low, high) }));
export const host = (samples: ReturnType<typeof inputs>, change: Partial<QuantizationScheme> = {}) => ({
  runtime: evaluatorRuntime,
  samples: samplesFrom(samples),
  target: target(change),
  gather,
});
