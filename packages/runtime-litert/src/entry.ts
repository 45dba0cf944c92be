import { type Dim, type ValueInfo, value } from "@pare/core";
import { dtypeOf, type TfliteEnd, type TfliteGraph, type TfliteModel, type TfliteTensor } from "@pare/tflite";
import { at, fail } from "./codes.ts";

/** Where a model is entered: a signature, or the main graph of a model that has none. */
export interface Entry {
  /** Its index among the signatures that LiteRT shows. */
  readonly index: number;
  /** Index of its graph. */
  readonly graph: number;
  readonly inputs: readonly TfliteEnd[];
  readonly outputs: readonly TfliteEnd[];
}

/**
 * The signature with this key, by default the first.
 * @throws PareError `litert/signature`
 */
export function entryOf(model: TfliteModel, key?: string): Entry {
  if (key === undefined && model.signatures.length === 0) {
    const { tensors, inputs, outputs } = model.graphs[0]!;
    const end = (tensor: number): TfliteEnd => ({ name: tensors[tensor]!.name, tensor });
    return { index: 0, graph: 0, inputs: inputs.map(end), outputs: outputs.map(end) };
  }
  const index = key === undefined ? 0 : model.signatures.findIndex((s) => s.key === key);
  const signature = model.signatures[index];
  if (!signature)
    throw fail("litert/signature", `the model has no signature ${key}`, {
      hint: `It has ${model.signatures.map((s) => s.key).join(", ") || "none"}.`,
    });
  return { index, ...signature };
}

/** The dimensions of a tensor, null where they are not known before a run. */
export const dimsOf = ({ shape, shape_signature: signature }: TfliteTensor): readonly Dim[] =>
  shape.map((d, i) => ((signature?.[i] ?? d) < 0 ? null : d));

export const isDynamic = (t: TfliteTensor): boolean => dimsOf(t).includes(null);

/** What goes in or out. @throws PareError `litert/dtype` for resources and the like */
export function infoOf(graph: TfliteGraph, { name, tensor }: TfliteEnd): ValueInfo {
  const t = graph.tensors[tensor]!;
  const dtype = dtypeOf(t.type);
  if (!dtype || dtype === "string") throw fail("litert/dtype", `LiteRT has no values of type ${t.type}`, at(name));
  return value(name, dtype, dimsOf(t));
}

/** Inner values by the names of their tensors. @throws PareError `litert/tap` */
export const tapsOf = (graph: TfliteGraph, names: readonly string[]): TfliteEnd[] =>
  names.map((name) =>
    tapAt(
      name,
      graph.tensors.findIndex((t) => t.name === name),
    ),
  );

/** An inner value by its index. @throws PareError `litert/tap` where there is none */
export function tapAt(name: string, tensor: number | undefined): TfliteEnd {
  if (tensor === undefined || tensor < 0)
    throw fail("litert/tap", "the main graph has no value of this name", at(name));
  return { name, tensor };
}

/** The model with other outputs of an entry. */
export function withOutputs(
  model: TfliteModel,
  entry: Entry,
  outputs: readonly TfliteEnd[],
  graph = model.graphs[entry.graph]!,
): TfliteModel {
  return {
    ...model,
    graphs: model.graphs.map((g, i) => (i === entry.graph ? { ...graph, outputs: outputs.map((o) => o.tensor) } : g)),
    signatures: model.signatures.map((s, i) => (i === entry.index ? { ...s, outputs } : s)),
  };
}
