import { type GraphView, intAttribute, type Node, type Target, type Verdict } from "@pare/core";

/** The multiplier arrays take whole groups of 8 channels, or one channel each. */
function fitsArray(node: Node, view: GraphView): Verdict {
  const [outputs = 0, perGroup = 0] = view.constant(node.inputs[1] ?? "")?.shape ?? [];
  if (intAttribute(node, "group", 1) === outputs && perGroup === 1) return { ok: true };
  return outputs % 8 === 0
    ? { ok: true }
    : { ok: false, reason: `has ${outputs} output channels`, hint: "Make them a multiple of 8." };
}

/** Orion: unsigned activations, weights of 6 bits with one scale, lookup tables for activation functions. */
export const orion: Target = {
  name: "orion",
  runtime: "orion",
  opsets: new Map([["", 17]]),
  operators: new Map(),
  dtypes: ["float32", "uint8", "int8", "int32"],
  quantization: {
    activations: { dtype: "uint8", symmetric: false, granularity: "tensor" },
    weights: { dtype: "int8", symmetric: true, granularity: "tensor", bits: 6 },
    bias: "int32",
    operators: new Map([
      ["Conv", { role: "compute", weight: 1, bias: 2, output: "own", accepts: fitsArray }],
      ["MaxPool", { role: "carry", output: "input" }],
      ["Add", { role: "carry", output: "own" }],
      ["Sigmoid", { role: "carry", output: { scale: 1 / 256, zeroPoint: 0 } }],
    ] as const),
    fused: [["Conv", "Relu"]],
  },
};
