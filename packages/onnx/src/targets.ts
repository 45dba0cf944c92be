import {
  attribute,
  type CodeFormat,
  type GraphView,
  type Node,
  type QuantizationScheme,
  type QuantizedOperator,
  type Target,
  type Verdict,
} from "@pare/core";
import { operatorNames } from "@pare/ops/schema";

/** The newest opset that ONNX Runtime 1.30 loads. */
const ORT_OPSET = 26;

const ok: Verdict = { ok: true };
const no = (reason: string): Verdict => ({ ok: false, reason });

const isOne = (n: Node, name: string) => (attribute(n, name, "float") ?? 1) === 1;

/** The products of two activations gain little from integers and lose much. */
const hasWeight = (n: Node, view: GraphView): Verdict =>
  view.constant(n.inputs[1] ?? "") ? ok : no("multiplies two activations");
const plainGemm = (n: Node, view: GraphView): Verdict =>
  isOne(n, "alpha") && isOne(n, "beta") ? hasWeight(n, view) : no("has an alpha or beta that is not 1");

/**
 * What ONNX Runtime's CPU engine fuses between DequantizeLinear and QuantizeLinear (its QDQ selectors, 1.30). A Conv is fused only
 * where its output is quantized too; MatMul and Gemm give float32 as well.
 */
const operators: ReadonlyMap<string, QuantizedOperator> = new Map<string, QuantizedOperator>([
  ["Conv", { role: "compute", weight: 1, bias: 2, output: "own", accepts: hasWeight }],
  ["MatMul", { role: "compute", weight: 1, output: "float", accepts: hasWeight }],
  ["Gemm", { role: "compute", weight: 1, bias: 2, output: "float", accepts: plainGemm }],
  ...["MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"].map((op): [string, QuantizedOperator] => [
    op,
    { role: "carry", activations: [0], output: "input" },
  ]),
  ...["AveragePool", "GlobalAveragePool", "LeakyRelu"].map((op): [string, QuantizedOperator] => [
    op,
    { role: "carry", activations: [0], output: "own" },
  ]),
  ["Add", { role: "carry", output: "own" }],
  ["Mul", { role: "carry", output: "own" }],
  ["Concat", { role: "carry", output: "own" }],
]);

const fused = [
  ["Conv", "Relu"],
  ["Conv", "Clip"],
  ["Gemm", "Relu"],
  ["Gemm", "Clip"],
  ["MatMul", "Add", "Relu"],
  ["MatMul", "Add"],
  ["Add", "Relu"],
];

/** Operators of its own in which ONNX Runtime computes with quantized weights. */
const contributed = ["com.microsoft.MatMulNBits"];

const ort = (name: string, activations: CodeFormat, weights: Partial<CodeFormat> = {}): Target => ({
  name,
  runtime: "onnxruntime",
  opsets: new Map([["", ORT_OPSET]]),
  operators: new Map([...operatorNames(), ...contributed].map((op) => [op, {}])),
  dtypes: ["float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "float64", "bool"],
  quantization: {
    activations,
    weights: { dtype: "int8", symmetric: true, granularity: "channel", ...weights },
    bias: "int32",
    operators,
    fused,
  } satisfies QuantizationScheme,
});

const unsigned: CodeFormat = { dtype: "uint8", symmetric: false, granularity: "tensor" };
const signed: CodeFormat = { dtype: "int8", symmetric: false, granularity: "tensor" };

/** ONNX Runtime on x64 CPUs: unsigned activations, for which its kernels are fastest. */
export const ortX64: Target = ort("ort-x64", unsigned);
/** ONNX Runtime on ARM CPUs: signed activations and weights. */
export const ortArm: Target = ort("ort-arm", signed);
/** ONNX Runtime in browsers (WebAssembly). */
export const ortWeb: Target = ort("ort-web", unsigned);
