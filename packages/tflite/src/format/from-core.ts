import { type Graph, type Model, type Node, placeOf, type Tensor, type ValueInfo } from "@pare/core";
import { optionsIn } from "./attributes.ts";
import { fail } from "./codes.ts";
import { tensorTypeOf } from "./dtypes.ts";
import type { TfliteGraph, TfliteModel, TfliteOperator, TfliteTensor } from "./model.ts";
import { type KeptGraph, type KeptModel, type KeptOperator, type KeptTensor, TFLITE_DOMAIN } from "./to-core.ts";

/** Whether a model was read from TFLite and is still all TFLite's. */
export const isTflite = (m: Model): boolean =>
  m.extra?.["tflite"] !== undefined && m.graph.nodes.every((n) => n.domain === TFLITE_DOMAIN);

const keptOf = <T>(of: { readonly extra?: Readonly<Record<string, unknown>> }): T | undefined =>
  of.extra?.["tflite"] as T | undefined;

/**
 * The TFLite model that {@link toCore} made a model of, with what was changed since: weights, and nodes that went.
 * @throws PareError `tflite/value` where something is not TFLite's
 */
export function fromCore(m: Model): TfliteModel {
  const kept = keptOf<KeptModel>(m);
  if (!kept) throw fail("tflite/value", "the model was not read from TFLite");
  const graphs = new Map<number, TfliteGraph>(kept.others);
  const write = (g: Graph): number => {
    const index = keptOf<KeptGraph>(g)?.index;
    if (index === undefined) throw fail("tflite/value", `the graph ${g.name} was not read from TFLite`);
    // Graphs that operators share were copied when they were read.
    if (!graphs.has(index)) graphs.set(index, graphOf(g, write));
    return index;
  };
  write(m.graph);
  return { ...kept.model, graphs: Array.from({ length: kept.graphs }, (_, i) => graphs.get(i) ?? NO_GRAPH) };
}

/** The index that a value of the main graph has as a tensor in {@link fromCore}; undefined where it is none. */
export function tensorIndexOf(m: Model, value: string): number | undefined {
  const index = keptOf<KeptGraph>(m.graph)?.tensors.findIndex((t) => t.value === value) ?? -1;
  return index < 0 ? undefined : index;
}

/** In the place of a graph whose operator is gone. */
const NO_GRAPH: TfliteGraph = { tensors: [], inputs: [], outputs: [], operators: [] };

function graphOf(g: Graph, indexOfGraph: (g: Graph) => number): TfliteGraph {
  const kept = keptOf<KeptGraph>(g)!;
  const known = new Map(kept.tensors.map((t) => [t.value, t]));
  const infos = new Map([...g.types.values(), ...g.inputs, ...g.outputs].map((v) => [v.name, v]));
  const tensors: TfliteTensor[] = [];
  const indices = new Map<string, number>();
  const indexOf = (value: string): number => {
    if (value === "") return -1;
    const found = indices.get(value);
    if (found !== undefined) return found;
    tensors.push(tensorOf(value, known.get(value), g.weights.get(value), infos.get(value)));
    indices.set(value, tensors.length - 1);
    return tensors.length - 1;
  };
  // In their old order, so that what names tensors by their index (quantization, signatures) stays right.
  for (const { value } of kept.tensors) indexOf(value);
  const operators = g.nodes.map((n) => operatorOf(n, indexOf, indexOfGraph));
  return {
    ...kept.graph,
    tensors,
    inputs: g.inputs.map((v) => indexOf(v.name)),
    outputs: g.outputs.map((v) => indexOf(v.name)),
    operators,
  };
}

function tensorOf(
  value: string,
  kept: KeptTensor | undefined,
  weight: Tensor | undefined,
  info: ValueInfo | undefined,
): TfliteTensor {
  if (kept) return weight && kept.weight !== "none" ? { ...kept.tensor, data: weight } : kept.tensor;
  const type = info?.type?.kind === "tensor" ? info.type : weight;
  const name = type && tensorTypeOf(type.dtype);
  const shape = type?.shape?.map((d) => (typeof d === "number" ? d : 1));
  if (!name || !shape)
    throw fail("tflite/value", "a value that was added has no type or shape that TFLite knows", {
      location: { value },
    });
  return { name: value, type: name, shape, has_rank: true, ...(weight ? { data: weight } : {}) };
}

function operatorOf(n: Node, indexOf: (value: string) => number, indexOfGraph: (g: Graph) => number): TfliteOperator {
  const kept = keptOf<KeptOperator>(n);
  if (!kept) throw fail("tflite/value", `${n.op} is not TFLite's`, { location: placeOf(n) });
  const { operator, options } = kept;
  return {
    ...operator,
    inputs: n.inputs.map(indexOf),
    outputs: n.outputs.map(indexOf),
    ...(options
      ? { [options.union]: { type: options.table, value: optionsIn(options.table, n.attributes, indexOfGraph) } }
      : {}),
  };
}
