import { attribute, constantNodeValue, type DType, type Node, type ValueType } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";

/** Attributes by which a node says the element type of its first output. */
const naming: ReadonlyMap<string, string> = new Map([
  ["BitCast", "to"],
  ["Bernoulli", "dtype"],
  ["Cast", "to"],
  ["DequantizeLinear", "output_dtype"],
  ["EyeLike", "dtype"],
  ["Multinomial", "dtype"],
  ["QuantizeLinear", "output_dtype"],
  ["RandomNormal", "dtype"],
  ["RandomNormalLike", "dtype"],
  ["RandomUniform", "dtype"],
  ["RandomUniformLike", "dtype"],
]);

/** The element type that a node's own attributes give its output, as far as they do. */
export function declaredDType(node: Node): DType | undefined {
  if (node.op === "Constant") return constantNodeValue(node)?.dtype;
  if (node.op === "ConstantOfShape") return attribute(node, "value", "tensor")?.dtype ?? "float32";
  const name = naming.get(node.op);
  if (node.op === "QuantizeLinear" && !node.inputs[2] && !attribute(node, "output_dtype", "int")) return "uint8";
  return name === undefined ? undefined : dtypeOf(Number(attribute(node, name, "int") ?? 0));
}

export const declaredType = (node: Node): ValueType | undefined => {
  const dtype = declaredDType(node);
  return dtype && { kind: "tensor", dtype };
};
