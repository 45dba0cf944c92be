import type { QuantizedOperator, Target } from "@pare/core";

const own = { role: "carry", output: "own" } as const;
/** Of several inputs all; of operators that take shapes or indices too, the first. */
const same = { role: "carry", output: "input" } as const;
const first = { role: "carry", activations: [0], output: "input" } as const;
const fixed = (scale: number, zeroPoint: number) => ({ role: "carry", output: { scale, zeroPoint } }) as const;

/**
 * Full integer inference as LiteRT's kernels do it (its quantization specification and `operator_property.cc`): signed
 * activations, weights from -127 to 127, a scale for each output channel of convolutions but one for a matrix, biases in
 * int32, and outputs of which kernels expect a fixed scale.
 */
export const litertInt8: Target = {
  name: "litert-int8",
  runtime: "litert",
  opsets: new Map([["", 21]]),
  operators: new Map(),
  dtypes: ["float32", "int8", "int32"],
  quantization: {
    activations: { dtype: "int8", symmetric: false, granularity: "tensor" },
    weights: { dtype: "int8", symmetric: true, granularity: "channel" },
    bias: "int32",
    operators: new Map<string, QuantizedOperator>([
      ["Conv", { role: "compute", weight: 1, bias: 2, output: "own" }],
      ["ConvTranspose", { role: "compute", weight: 1, bias: 2, output: "own" }],
      ["Gemm", { role: "compute", weight: 1, bias: 2, output: "own", granularity: "tensor" }],
      ["MatMul", { role: "compute", weight: 1, output: "own", granularity: "tensor" }],
      ...["Add", "Sub", "Mul", "ReduceMean", "LeakyRelu", "HardSwish", "Relu", "Abs"].map((op) => [op, own] as const),
      ...["Concat", "Max", "Min"].map((op) => [op, same] as const),
      ...["AveragePool", "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Pad"].map(
        (op) => [op, first] as const,
      ),
      ...["Gather", "Tile", "Expand", "Resize", "SpaceToDepth", "DepthToSpace"].map((op) => [op, first] as const),
      ["Softmax", fixed(1 / 256, -128)],
      ["Sigmoid", fixed(1 / 256, -128)],
      ["Tanh", fixed(1 / 128, 0)],
      ["LogSoftmax", fixed(16 / 256, 127)],
    ]),
    fused: ["Conv", "Gemm", "Add"].flatMap((op) => [
      [op, "Relu"],
      [op, "Clip"],
    ]),
  },
};
