import type { GraphView, Node, QuantizedOperator, Target, Verdict } from "@pare/core";

const hasWeight = (n: Node, view: GraphView): Verdict =>
  view.constant(n.inputs[1] ?? "") ? { ok: true } : { ok: false, reason: "multiplies two activations" };
const never = (): Verdict => ({ ok: false, reason: "is computed in float" });

/**
 * Explicit quantization as TensorRT reads it: zero points are all 0, biases stay float, codes stand before what computes and
 * never after it, and of a residual addition only the other branch has them.
 */
export const tensorrtInt8: Target = {
  name: "tensorrt-int8",
  runtime: "tensorrt",
  opsets: new Map([["", 19]]),
  operators: new Map(),
  dtypes: ["float32", "float16", "int8"],
  quantization: {
    activations: { dtype: "int8", symmetric: true, granularity: "tensor" },
    weights: { dtype: "int8", symmetric: true, granularity: "channel" },
    bias: "float32",
    operators: new Map<string, QuantizedOperator>([
      ["Conv", { role: "compute", weight: 1, bias: 2, output: "float", accepts: hasWeight }],
      ["Gemm", { role: "compute", weight: 1, bias: 2, output: "float", accepts: hasWeight }],
      ["MatMul", { role: "compute", weight: 1, output: "float" }],
      ["MaxPool", { role: "carry", output: "input" }],
      ["Concat", { role: "carry", output: "input" }],
      ["AveragePool", { role: "carry", output: "float" }],
      ["GlobalAveragePool", { role: "carry", output: "float" }],
      // Stays float itself; whatever reads its codes knows that they are probabilities.
      ["Softmax", { role: "carry", output: { scale: 1 / 127, zeroPoint: 0 }, accepts: never }],
    ]),
    fused: [
      ["Conv", "Relu"],
      ["Conv", "Add"],
      ["Conv", "Add", "Relu"],
      ["Gemm", "Relu"],
      ["MatMul", "Add"],
    ],
    fusesResidual: true,
  },
};
