import {
  type Attribute,
  attr,
  type Dim,
  type DType,
  type Graph,
  graph,
  lazyTensor,
  type Model,
  model,
  type Node,
  type Tensor,
  tensor,
  type ValueInfo,
  type ValueType,
} from "@pare/core";
import { attributesOf } from "./attributes.ts";
import { graphName } from "./check.ts";
import { fail } from "./codes.ts";
import { SCHEMA_VERSION } from "./document.ts";
import { bytesOfShape, dtypeOf } from "./dtypes.ts";
import type { TfliteGraph, TfliteModel, TfliteOperator, TfliteTensor } from "./model.ts";
import type { Payload } from "./payload.ts";
import type { TableName } from "./schema.gen.ts";

/** The domain of TFLite's operators in Pare's models. Passes leave them as they are. */
export const TFLITE_DOMAIN = "tflite";

/** Graphs inside operators that are followed, over all: operators may share one, which is copied then. */
const GRAPHS = 4096;

/** What a tensor says that the IR does not: everything but its shape, type and constant bytes. */
export interface KeptTensor {
  readonly value: string;
  readonly tensor: TfliteTensor;
  /** Set where the weight is not the constant itself: its bytes do not fill its shape (`raw`), or it has none (`none`). */
  readonly weight?: "raw" | "none";
}

/** What a graph keeps for `fromCore`. */
export interface KeptGraph {
  readonly index: number;
  readonly graph: Omit<TfliteGraph, "tensors" | "inputs" | "outputs" | "operators">;
  readonly tensors: readonly KeptTensor[];
}

/** What an operator keeps. */
export interface KeptOperator {
  readonly operator: Omit<TfliteOperator, "inputs" | "outputs" | "builtin_options" | "builtin_options_2">;
  readonly options?: { readonly union: "builtin_options" | "builtin_options_2"; readonly table: TableName };
}

/** What a model keeps: all but its graphs, and those that no operator of the main one reaches. */
export interface KeptModel {
  readonly model: Omit<TfliteModel, "graphs">;
  readonly graphs: number;
  readonly others: ReadonlyMap<number, TfliteGraph>;
}

/**
 * A TFLite model in Pare's terms: nodes of the domain `tflite`, called as TFLite calls them, options as attributes, weights
 * as they are stored. Passes see values, weights and shapes, and leave the operators alone.
 * @throws PareError `tflite/index` where graphs contain themselves or far too many
 */
export function toCore(from: TfliteModel): Model {
  const { graphs, ...rest } = from;
  const seen = new Set<number>();
  let count = 0;
  const taken = new Set<string>();
  const build = (index: number, path: readonly number[]): Graph => {
    if (path.includes(index) || ++count > GRAPHS)
      throw fail("tflite/index", "its graphs contain themselves, or too many", {
        location: { graph: graphName(graphs[index]!, index) },
      });
    seen.add(index);
    const known = index === 0 ? signatureNames(from) : new Map<number, string>();
    return graphOf(graphs[index]!, index, known, taken, (inner) => build(inner, [...path, index]));
  };
  const main = build(0, []);
  const kept: KeptModel = {
    model: rest,
    graphs: graphs.length,
    others: new Map([...graphs.entries()].filter(([i]) => !seen.has(i))),
  };
  return model(main, {
    opsets: new Map([[TFLITE_DOMAIN, SCHEMA_VERSION]]),
    metadata: new Map(from.description ? [["description", from.description]] : []),
    extra: { tflite: kept },
  });
}

/** What callers call the inputs and outputs of the main graph, by tensor. */
function signatureNames({ signatures: [first] }: TfliteModel): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  if (first?.graph !== 0) return names;
  for (const { name, tensor } of [...first.outputs, ...first.inputs]) names.set(tensor, name);
  return new Set(names.values()).size === names.size ? names : new Map();
}

function graphOf(
  g: TfliteGraph,
  index: number,
  known: ReadonlyMap<number, string>,
  taken: Set<string>,
  graphAt: (index: number) => Graph,
): Graph {
  for (const name of known.values()) taken.add(name);
  const names = g.tensors.map((t, i) => {
    let name = known.get(i) ?? (t.name || `tensor${i}`);
    if (known.has(i)) return name;
    for (let n = 1; taken.has(name); n++) name = `${t.name || `tensor${i}`}:${n}`;
    taken.add(name);
    return name;
  });
  const valueAt = (i: number) => (i < 0 ? "" : names[i]!);
  const written = new Set([...g.inputs, ...g.operators.flatMap((op) => op.outputs)]);
  const weights = new Map<string, Tensor>();
  const tensors = g.tensors.map((t, i): KeptTensor => {
    const { data, ...kept } = t;
    const value = names[i]!;
    if (written.has(i)) return { value, tensor: kept };
    const [weight, how] = weightOf(t);
    weights.set(value, weight);
    return { value, tensor: kept, ...(how ? { weight: how } : {}) };
  });
  const info = (i: number): ValueInfo => ({ name: names[i]!, type: typeOf(g.tensors[i]!) });
  const { tensors: _, inputs, outputs, operators, ...rest } = g;
  const ends = new Set([...inputs, ...outputs]);
  return graph({
    name: g.name ?? "",
    inputs: inputs.map(info),
    outputs: outputs.map(info),
    nodes: operators.map((op) => nodeOf(op, valueAt, graphAt)),
    weights,
    types: new Map([...written].filter((i) => i >= 0 && !ends.has(i)).map((i) => [names[i]!, info(i)])),
    extra: { tflite: { index, graph: rest, tensors } satisfies KeptGraph },
  });
}

function typeOf(t: TfliteTensor): ValueType {
  const dtype = dtypeOf(t.type);
  if (!dtype) return { kind: "opaque", domain: TFLITE_DOMAIN, name: String(t.type) };
  const shape = t.shape.map((d, i): Dim => ((t.shape_signature?.[i] ?? d) < 0 ? null : d));
  return { kind: "tensor", dtype, shape };
}

/** A constant as a weight. What has no value before a run, such as a variable, is a weight of nothing. */
function weightOf(t: TfliteTensor): readonly [Tensor, KeptTensor["weight"]?] {
  const { data } = t;
  const dtype = dtypeOf(t.type);
  if (!data) return [tensor("uint8", [0], []), "none"];
  if (dtype && !t.sparsity && bytesOfShape(t.type, t.shape) === data.byteLength)
    return [asTensor(data, dtype, t.shape)];
  return [asTensor(data, "uint8", [data.byteLength]), "raw"];
}

const asTensor = (data: Payload, dtype: DType, shape: readonly number[]): Tensor =>
  data.bytes
    ? tensor(dtype, shape, data.bytes, data.key)
    : lazyTensor({ dtype, shape, key: data.key, read: (range, signal) => data.read(range, signal) });

function nodeOf(op: TfliteOperator, valueAt: (i: number) => string, graphAt: (index: number) => Graph): Node {
  const { inputs, outputs, builtin_options: first, builtin_options_2: second, ...rest } = op;
  const options = first ?? second;
  let attributes = new Map<string, Attribute>();
  if (options) attributes = attributesOf(options.type, options.value as Readonly<Record<string, unknown>>, graphAt);
  if (op.code.custom !== undefined) attributes.set("custom_code", attr.string(op.code.custom));
  const kept: KeptOperator = {
    operator: rest,
    ...(options ? { options: { union: first ? "builtin_options" : "builtin_options_2", table: options.type } } : {}),
  };
  return {
    name: "",
    domain: TFLITE_DOMAIN,
    op: String(op.code.builtin),
    inputs: inputs.map(valueAt),
    outputs: outputs.map(valueAt),
    attributes,
    extra: { tflite: kept },
  };
}
