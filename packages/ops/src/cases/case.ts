import { type Attribute, type Node, node, type ResidentTensor, tensor } from "@pare/core";

/** An operator on given inputs, and what it gives: for evaluation, runtimes and exporters alike. */
export interface OperatorCase {
  /** `Gather axis=1`. */
  readonly name: string;
  /** At the IR's opset; it reads `x0`, `x1`, … and writes `y0`, `y1`, … */
  readonly node: Node;
  /** Undefined where an optional input is left out. */
  readonly inputs: readonly (ResidentTensor | undefined)[];
  readonly outputs: readonly ResidentTensor[];
}

/** A case of an operator of the standard domain. */
export const caseOf = (
  op: string,
  attributes: Readonly<Record<string, Attribute>>,
  inputs: readonly (ResidentTensor | undefined)[],
  outputs: readonly ResidentTensor[],
): OperatorCase => ({
  name: [op, ...Object.entries(attributes).map(([key, a]) => `${key}=${"value" in a ? a.value : a.type}`)].join(" "),
  node: node(
    op,
    inputs.map((t, i) => (t ? `x${i}` : "")),
    outputs.map((_, i) => `y${i}`),
    attributes,
  ),
  inputs,
  outputs,
});

type Make = (shape: readonly number[], values: readonly (number | bigint)[]) => ResidentTensor;

export const f32: Make = (shape, values) => tensor("float32", shape, values);
/** float16 by its bits. */
export const f16: Make = (shape, values) => tensor("float16", shape, values);
export const i64: Make = (shape, values) => tensor("int64", shape, values);
export const i32: Make = (shape, values) => tensor("int32", shape, values);
export const i8: Make = (shape, values) => tensor("int8", shape, values);
export const u8: Make = (shape, values) => tensor("uint8", shape, values);
export const bool: Make = (shape, values) => tensor("bool", shape, values);
