import type { Attribute, FunctionDef, Graph, Model, Node, SparseTensor, Tensor, ValueInfo } from "@pare/core";
import { attributeKinds, kept } from "./attributes.ts";
import { irVersionOf } from "./ir-version.ts";
import type { Message, OnnxDocument } from "./proto.ts";
import { type TensorProto, writeTensor } from "./tensors.ts";
import { bytesOfText } from "./text.ts";
import { readType, sameType, typeProto } from "./types.ts";

/** Makes the message of a tensor: with its data, or with the place of its data in another file. */
export type TensorWriter = (t: Tensor, kept?: TensorProto) => TensorProto;

/** The document of a model, at the opsets that the model says. Nothing is read. */
export function writeModel(model: Model, tensorProto: TensorWriter = writeTensor): OnnxDocument {
  const rest = kept(model.extra) as Partial<OnnxDocument>;
  return {
    ...rest,
    ir_version: irVersionOf(model),
    producer_name: rest.producer_name ?? "pare",
    graph: graphProto(model.graph, tensorProto),
    opset_import: opsetProtos(model.opsets),
    ...filled(
      "metadata_props",
      [...model.metadata].map(([key, value]) => ({ key, value })),
    ),
    ...filled(
      "functions",
      model.functions.map((f) => functionProto(f, tensorProto)),
    ),
  };
}

/** A repeated field, absent where it would be empty. */
function filled<K extends string, T>(name: K, list: readonly T[]): { [P in K]?: readonly T[] } {
  return (list.length > 0 ? { [name]: list } : {}) as { [P in K]?: readonly T[] };
}
const named = <K extends string>(key: K, text: string) => (text ? { [key]: text } : {}) as { [P in K]?: string };

const opsetProtos = (opsets: ReadonlyMap<string, number>) =>
  [...opsets].map(([domain, version]) => ({ ...named("domain", domain), version }));

function infoProto(v: ValueInfo): Message<"ValueInfoProto"> {
  const { type: original, ...rest } = kept(v.extra) as Message<"ValueInfoProto">;
  const same = original && sameType(readType(original).type, v.type);
  const type = same ? original : v.type && typeProto(v.type);
  return { ...rest, name: v.name, ...(type ? { type } : {}) };
}

function graphProto(g: Graph, tensorProto: TensorWriter): Message<"GraphProto"> {
  const more = g.extra?.["initializers"] as ReadonlyMap<string, TensorProto> | undefined;
  return {
    ...kept(g.extra),
    ...filled(
      "node",
      g.nodes.map((n) => nodeProto(n, tensorProto)),
    ),
    ...named("name", g.name || "main"),
    ...filled(
      "initializer",
      [...g.weights].map(([name, t]) => tensorProto(t, { ...more?.get(name), name })),
    ),
    ...filled(
      "sparse_initializer",
      [...g.sparseWeights].map(([name, s]) => sparseProto(s, tensorProto, name)),
    ),
    ...filled("input", g.inputs.map(infoProto)),
    ...filled("output", g.outputs.map(infoProto)),
    ...filled("value_info", [...g.types.values()].map(infoProto)),
  };
}

function sparseProto(s: SparseTensor, tensorProto: TensorWriter, name?: string): Message<"SparseTensorProto"> {
  const { values, indices, ...rest } = kept(s.extra) as Message<"SparseTensorProto">;
  return {
    ...rest,
    values: tensorProto(s.values, { ...values, ...(name === undefined ? {} : { name }) }),
    indices: tensorProto(s.indices, indices),
    ...filled("dims", s.shape),
  };
}

function nodeProto(n: Node, tensorProto: TensorWriter): Message<"NodeProto"> {
  return {
    ...kept(n.extra),
    ...filled("input", n.inputs),
    ...filled("output", n.outputs),
    ...named("name", n.name),
    op_type: n.op,
    ...named("domain", n.domain),
    ...filled(
      "attribute",
      [...n.attributes].map(([name, a]) => attributeProto(name, a, tensorProto)),
    ),
  };
}

function attributeProto(name: string, a: Attribute, tensorProto: TensorWriter): Message<"AttributeProto"> {
  const rest = kept(a.extra) as Message<"AttributeProto">;
  if (a.type === "ref") return { ...rest, name, ref_attr_name: a.name, type: attributeKinds[a.of].code };
  const base = { ...rest, name, type: attributeKinds[a.type].code };
  switch (a.type) {
    case "float":
      return { ...base, f: Number.isNaN(a.value) ? (rest.f ?? a.value) : a.value };
    case "int":
      return { ...base, i: a.value };
    case "string":
      return { ...base, s: bytesProto(a.value) };
    case "tensor":
      return { ...base, t: tensorProto(a.value, rest.t) };
    case "graph":
      return { ...base, g: graphProto(a.value, tensorProto) };
    case "sparse":
      return { ...base, sparse_tensor: sparseProto(a.value, tensorProto, rest.sparse_tensor?.values?.name) };
    case "type":
      return { ...base, tp: rest.tp && sameType(readType(rest.tp).type, a.value) ? rest.tp : typeProto(a.value) };
    case "floats":
      return a.value.length > 0 ? { ...base, floats: Float32Array.from(a.value) } : base;
    case "ints":
      return { ...base, ...filled("ints", a.value) };
    case "strings":
      return { ...base, ...filled("strings", a.value.map(bytesProto)) };
    case "tensors":
      return {
        ...base,
        ...filled(
          "tensors",
          a.value.map((t) => tensorProto(t)),
        ),
      };
    case "graphs":
      return {
        ...base,
        ...filled(
          "graphs",
          a.value.map((g) => graphProto(g, tensorProto)),
        ),
      };
    case "sparses":
      return {
        ...base,
        ...filled(
          "sparse_tensors",
          a.value.map((s) => sparseProto(s, tensorProto)),
        ),
      };
    case "types":
      return { ...base, ...filled("type_protos", a.value.map(typeProto)) };
    default:
      return a satisfies never;
  }
}

const bytesProto = (s: string | Uint8Array) => (typeof s === "string" ? bytesOfText(s) : s);

function functionProto(f: FunctionDef, tensorProto: TensorWriter): Message<"FunctionProto"> {
  return {
    ...kept(f.extra),
    name: f.name,
    domain: f.domain,
    ...named("overload", f.overload),
    ...filled(
      "input",
      f.body.inputs.map((v) => v.name),
    ),
    ...filled(
      "output",
      f.body.outputs.map((v) => v.name),
    ),
    ...filled("attribute", f.attributes),
    ...filled(
      "attribute_proto",
      [...f.defaults].map(([name, a]) => attributeProto(name, a, tensorProto)),
    ),
    ...filled(
      "node",
      f.body.nodes.map((n) => nodeProto(n, tensorProto)),
    ),
    ...filled("opset_import", opsetProtos(f.opsets)),
    ...filled("value_info", [...f.body.types.values()].map(infoProto)),
  };
}
