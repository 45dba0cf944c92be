import {
  type Attribute,
  graph,
  type Model,
  model,
  type Node,
  node,
  type ResidentTensor,
  tensor,
  type ValueInfo,
  type Values,
  value,
} from "@pare/core";

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

/** A model on given inputs, and what it gives. */
export interface ModelCase {
  readonly name: string;
  readonly model: Model;
  readonly inputs: Values;
  readonly outputs: Values;
}

const typed = (name: string, t: ResidentTensor): ValueInfo => value(name, t.dtype, t.shape);
const named = (tensors: readonly (ResidentTensor | undefined)[], letter: string): Values =>
  Object.fromEntries(tensors.flatMap((t, i) => (t ? [[`${letter}${i}`, t]] : [])));

/** A case of several nodes: they read `x0`, `x1`, … and what is in `weights`, and write `y0`, `y1`, … */
export function modelCaseOf(
  name: string,
  nodes: readonly Node[],
  inputs: readonly (ResidentTensor | undefined)[],
  outputs: readonly ResidentTensor[],
  weights: Readonly<Record<string, ResidentTensor>> = {},
): ModelCase {
  const [given, expected] = [named(inputs, "x"), named(outputs, "y")];
  const main = graph({
    name: "case",
    inputs: Object.entries(given).map(([key, t]) => typed(key, t)),
    weights: new Map(Object.entries(weights)),
    nodes,
    outputs: Object.entries(expected).map(([key, t]) => typed(key, t)),
  });
  return { name, model: model(main), inputs: given, outputs: expected };
}

/** The case of an operator as a model of one node. */
export const modelOfCase = ({ name, node, inputs, outputs }: OperatorCase): ModelCase =>
  modelCaseOf(name, [node], inputs, outputs);

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
