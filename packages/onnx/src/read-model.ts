import {
  type Attribute,
  type Diagnostic,
  type FunctionDef,
  type Graph,
  graph,
  inOrder,
  type Model,
  type Node,
  PareError,
  type SparseTensor,
  type Tensor,
  type ValueInfo,
  verify,
} from "@pare/core";
import { attributeKinds, keep, kindOf } from "./attributes.ts";
import { fail } from "./codes.ts";
import type { External } from "./external.ts";
import type { Message, OnnxDocument } from "./proto.ts";
import { isExternal, keptOf, placed, readTensor, sparseShape, type TensorProto } from "./tensors.ts";
import { utf8 } from "./text.ts";
import { readType } from "./types.ts";

interface Context {
  readonly external: ReadonlyMap<TensorProto, Tensor>;
  readonly diagnostics: Diagnostic[];
  readonly file: string;
  /** Whether initializers are constants even where they are listed as inputs (IR version 3 and before). */
  readonly initializersAreInputs: boolean;
}

/**
 * The IR's model of a document, at the document's opset. What the IR does not model is kept in `extra` and written back.
 * @throws PareError with every problem that makes the model not well formed, or with the first that makes it unreadable
 */
export function readModel(
  doc: OnnxDocument,
  file: string,
  external: External,
): { model: Model; diagnostics: Diagnostic[] } {
  const diagnostics = [...external.diagnostics];
  const { graph: main, functions, opset_import, metadata_props, ...rest } = doc;
  if (!main)
    throw fail("onnx/no-graph", "there is no graph in it", { location: { file }, hint: "Is it an ONNX model?" });
  const ctx: Context = {
    external: external.tensors,
    diagnostics,
    file,
    initializersAreInputs: doc.ir_version !== undefined && doc.ir_version < 4,
  };
  const opsets = readOpsets(opset_import ?? [], file);
  // Files from before operator sets were versioned (IR version 1 and 2) mean the first.
  if (opsets.size === 0) opsets.set("", 1);
  const model: Model = {
    graph: readGraph(main, ctx),
    functions: (functions ?? []).map((f) => readFunction(f, ctx)),
    opsets,
    metadata: readMetadata(metadata_props ?? [], ctx),
    ...keep(rest),
  };
  const problems = verify(model);
  const errors = problems.filter((d) => d.code !== "core/no-opset");
  if (errors.length > 0)
    throw new PareError(errors.slice(0, 20).map((d) => ({ ...d, location: { file, ...d.location } })));
  for (const d of problems) diagnostics.push({ ...d, severity: "warning" });
  return { model, diagnostics };
}

const standard = (domain: string | undefined) => (domain === "ai.onnx" ? "" : (domain ?? ""));

function readOpsets(list: readonly Message<"OperatorSetIdProto">[], file: string): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of list) {
    const name = standard(domain);
    const other = opsets.get(name);
    if (typeof version !== "number" || version < 1 || (other !== undefined && other !== version))
      throw fail("onnx/opset", `the version ${version} of the operator set "${name}" cannot be used`, {
        location: { file },
        ...(other === undefined ? {} : { hint: `Version ${other} of it is given too.` }),
      });
    opsets.set(name, version);
  }
  return opsets;
}

function readMetadata(list: readonly Message<"StringStringEntryProto">[], ctx: Context): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const { key = "", value = "" } of list) {
    if (metadata.has(key))
      ctx.diagnostics.push({
        code: "onnx/duplicate-key",
        severity: "warning",
        message: `the metadata has the key ${JSON.stringify(key)} twice; the first is kept`,
        location: { file: ctx.file },
      });
    else metadata.set(key, value);
  }
  return metadata;
}

function readInfo(p: Message<"ValueInfoProto">): ValueInfo {
  const { name = "", type: proto, ...rest } = p;
  if (!proto) return { name, ...keep(rest) };
  const { type, whole } = readType(proto);
  return { name, ...(type ? { type } : {}), ...keep(whole ? rest : { ...rest, type: proto }) };
}

function readGraph(p: Message<"GraphProto">, ctx: Context): Graph {
  const { name = "", node, initializer, sparse_initializer, input, output, value_info, ...rest } = p;
  const weights = new Map<string, Tensor>();
  const initializers = new Map<string, TensorProto>();
  for (const t of initializer ?? []) {
    const id = t.name ?? "";
    if (id === "" || weights.has(id))
      throw fail("onnx/name", id ? `there are two initializers ${id}` : "an initializer has no name", {
        location: { file: ctx.file, ...(name ? { graph: name } : {}) },
      });
    weights.set(id, tensorOf(t, `initializer ${id}`, ctx));
    const { name: _, ...more } = keptOf(t);
    if (Object.keys(more).length > 0) initializers.set(id, more);
  }
  const sparseWeights = new Map<string, SparseTensor>();
  for (const s of sparse_initializer ?? []) sparseWeights.set(s.values?.name ?? "", sparseOf(s, ctx));
  const inputs = (input ?? []).map(readInfo);
  const constant = (v: ValueInfo) => weights.has(v.name) || sparseWeights.has(v.name);
  const { extra } = keep(rest);
  return {
    name,
    inputs: ctx.initializersAreInputs ? inputs.filter((v) => !constant(v)) : inputs,
    outputs: (output ?? []).map(readInfo),
    nodes: inOrder((node ?? []).map((n) => readNode(n, ctx))),
    weights,
    sparseWeights,
    types: new Map((value_info ?? []).map((v) => [v.name ?? "", readInfo(v)])),
    ...(extra || initializers.size > 0
      ? { extra: { ...extra, ...(initializers.size > 0 ? { initializers } : {}) } }
      : {}),
  };
}

function tensorOf(p: TensorProto, where: string, ctx: Context): Tensor {
  const found = isExternal(p) ? ctx.external.get(p) : undefined;
  return found ?? placed(`${where} of ${ctx.file}`, () => readTensor(p));
}

function sparseOf(p: Message<"SparseTensorProto">, ctx: Context): SparseTensor {
  const { values, indices, dims, ...rest } = p;
  const where = `sparse tensor ${values?.name ?? ""}`;
  if (!values || !indices)
    throw fail("onnx/tensor-data", `${where} has no values or no indices`, { location: { file: ctx.file } });
  const { name, ...more } = keptOf(values);
  const inner = { ...rest, values: more, indices: keptOf(indices) };
  return {
    values: tensorOf(values, where, ctx),
    indices: tensorOf(indices, where, ctx),
    shape: placed(where, () => sparseShape(p)),
    extra: { onnx: inner },
  };
}

function readNode(p: Message<"NodeProto">, ctx: Context): Node {
  const { name = "", op_type: op = "", domain, input, output, attribute, ...rest } = p;
  const location = { file: ctx.file, ...(name ? { node: name } : {}), op };
  if (op === "") throw fail("onnx/name", "a node does not say which operator it is", { location });
  const attributes = new Map<string, Attribute>();
  for (const a of attribute ?? []) {
    const id = a.name ?? "";
    if (attributes.has(id)) throw fail("onnx/attribute", `the attribute ${id} comes twice`, { location });
    // A number that is left out is 0; a string that is left out is no attribute, and runtimes take the default.
    if (isLeftOut(a)) continue;
    attributes.set(id, readAttribute(a, location, ctx));
  }
  return {
    name,
    domain: standard(domain),
    op,
    inputs: input ?? [],
    outputs: output ?? [],
    attributes,
    ...keep(rest),
  };
}

const isLeftOut = (a: Message<"AttributeProto">): boolean =>
  kindOf(a) === "string" && Object.keys(a).every((key) => ["name", "type", "doc_string"].includes(key));

function readAttribute(
  p: Message<"AttributeProto">,
  location: Diagnostic["location"] & object,
  ctx: Context,
): Attribute {
  const { name = "", type: _, ref_attr_name: ref, ...rest } = p;
  const kind = kindOf(p);
  const unusable = (why: string) => fail("onnx/attribute", `the attribute ${name} ${why}`, { location });
  if (!kind) throw unusable(p.type ? `has the type ${p.type}, which does not exist` : "does not say its type");
  if (ref) return { type: "ref", of: kind, name: ref, ...keep(rest) };
  const { field } = attributeKinds[kind];
  const { [field]: held, ...more } = rest;
  const tensor = (t: TensorProto) => tensorOf(t, `attribute ${name} of ${location.node || location.op}`, ctx);
  const need = <T>(value: T | undefined): T => {
    if (value === undefined) throw unusable(`is to be a ${kind}, but has none`);
    return value;
  };
  const typeOf = (t: Message<"TypeProto">) => need(readType(t).type);
  switch (kind) {
    case "float": {
      const f = p.f ?? 0;
      return typeof f === "number"
        ? { type: kind, value: f, ...keep(more) }
        : { type: kind, value: Number.NaN, ...keep(rest) };
    }
    case "int":
      return { type: kind, value: p.i ?? 0, ...keep(more) };
    case "string":
      return { type: kind, value: stringOf(need(p.s)), ...keep(more) };
    case "tensor": {
      const t = need(p.t);
      const inner = keptOf(t);
      return { type: kind, value: tensor(t), ...keep(Object.keys(inner).length > 0 ? { ...more, t: inner } : more) };
    }
    case "graph":
      return { type: kind, value: readGraph(need(p.g), ctx), ...keep(more) };
    case "sparse":
      return { type: kind, value: sparseOf(need(p.sparse_tensor), ctx), ...keep(more) };
    case "type": {
      const t = need(p.tp);
      return { type: kind, value: typeOf(t), ...keep(readType(t).whole ? more : rest) };
    }
    case "floats":
      return { type: kind, value: Array.from(p.floats ?? []), ...keep(more) };
    case "ints":
      return { type: kind, value: p.ints ?? [], ...keep(more) };
    case "strings":
      return { type: kind, value: (p.strings ?? []).map(stringOf), ...keep(more) };
    case "tensors":
      return { type: kind, value: (p.tensors ?? []).map(tensor), ...keep(more) };
    case "graphs":
      return { type: kind, value: (p.graphs ?? []).map((g) => readGraph(g, ctx)), ...keep(more) };
    case "sparses":
      return { type: kind, value: (p.sparse_tensors ?? []).map((s) => sparseOf(s, ctx)), ...keep(more) };
    case "types":
      return { type: kind, value: (p.type_protos ?? []).map(typeOf), ...keep(more) };
    default:
      return kind satisfies never;
  }
}

const stringOf = (bytes: Uint8Array) => utf8(bytes) ?? bytes;

function readFunction(p: Message<"FunctionProto">, ctx: Context): FunctionDef {
  const { name = "", domain, overload = "", input, output, attribute, attribute_proto, ...more } = p;
  const { node, opset_import, value_info, ...rest } = more;
  const location = { file: ctx.file, graph: `function ${name}` };
  return {
    domain: standard(domain),
    name,
    overload,
    attributes: attribute ?? [],
    defaults: new Map((attribute_proto ?? []).map((a) => [a.name ?? "", readAttribute(a, location, ctx)])),
    opsets: readOpsets(opset_import ?? [], ctx.file),
    body: graph({
      name,
      inputs: (input ?? []).map((v) => ({ name: v })),
      outputs: (output ?? []).map((v) => ({ name: v })),
      nodes: inOrder((node ?? []).map((n) => readNode(n, ctx))),
      types: new Map((value_info ?? []).map((v) => [v.name ?? "", readInfo(v)])),
    }),
    ...keep(rest),
  };
}
