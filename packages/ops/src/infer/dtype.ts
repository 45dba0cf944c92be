import { attribute, type DType, type Node } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import { matched } from "../schema/check.ts";
import { declaredDType } from "../schema/declared.ts";
import { type OperatorSchema, schemaOf } from "../schema/table.ts";

type Known = { readonly dtype?: DType | undefined } | undefined;

/** Operators whose element type no input shows: the attribute that names it, and the type where it is left out. */
const named: ReadonlyMap<string, readonly [attribute: string, fallback: number | undefined]> = new Map([
  ["BlackmanWindow", ["output_datatype", 1]],
  ["HammingWindow", ["output_datatype", 1]],
  ["HannWindow", ["output_datatype", 1]],
  ["MelWeightMatrix", ["output_datatype", 1]],
  ["Multinomial", ["dtype", 6]],
  ["RandomNormal", ["dtype", 1]],
  ["RandomUniform", ["dtype", 1]],
]);

/** Operators whose output is of the first input's type when no attribute says otherwise. */
const likeFirst = new Set(["Bernoulli", "EyeLike", "RandomNormalLike", "RandomUniformLike"]);

/** The element types of a node's outputs: from its attributes, or from inputs of the same type by the operator's schema. */
export function outputDTypes(n: Node, inputs: readonly Known[], opset: number): (DType | undefined)[] {
  const schema = schemaOf(n.op, opset);
  if (!schema) return [];
  const bound = new Map<string, DType>();
  const positions = new Map(n.inputs.map((name, i) => [name, i]));
  for (const [name, p] of matched(n.inputs, schema.inputs)) {
    const dtype = inputs[positions.get(name)!]?.dtype;
    if (dtype && p.homogeneous && !bound.has(p.type)) bound.set(p.type, dtype);
  }
  return n.outputs.map((_, i) => special(n, i, inputs) ?? bySchema(schema, i, bound));
}

function special(n: Node, index: number, inputs: readonly Known[]): DType | undefined {
  if (n.op === "LayerNormalization" && index > 0) return dtypeOf(Number(attribute(n, "stash_type", "int") ?? 1));
  // The state is kept in the type of the first one, or of the queries where there is none.
  if (n.op === "LinearAttention" && index === 1) return inputs[3]?.dtype ?? inputs[0]?.dtype;
  if (index > 0) return undefined;
  if (n.op === "Constant" && (n.attributes.has("value_string") || n.attributes.has("value_strings"))) return "string";
  if (n.op === "Constant") return attribute(n, "sparse_value", "sparse")?.values.dtype ?? declaredDType(n);
  if (n.op === "QuantizeLinear" && inputs[2]?.dtype) return inputs[2].dtype;
  const declared = declaredDType(n);
  if (declared) return declared;
  if (n.op === "DequantizeLinear") return inputs[1]?.dtype;
  if (likeFirst.has(n.op)) return inputs[0]?.dtype;
  const [name, fallback] = named.get(n.op) ?? [];
  return name === undefined ? undefined : dtypeOf(Number(attribute(n, name, "int") ?? fallback));
}

function bySchema(schema: OperatorSchema, index: number, bound: ReadonlyMap<string, DType>): DType | undefined {
  const last = schema.outputs.at(-1);
  const p = schema.outputs[index] ?? (last?.kind === "variadic" ? last : undefined);
  if (!p) return undefined;
  const allowed = schema.types.get(p.type);
  if (!allowed) return asDType(p.type);
  const [only] = allowed;
  return bound.get(p.type) ?? (allowed.size === 1 ? asDType(only!) : undefined);
}

/** Names of types that are no tensors have parentheses. */
const asDType = (name: string): DType | undefined => (name.includes("(") ? undefined : (name as DType));
