import { operator, type TfliteEnd, type TfliteGraph, type TfliteModel, type TfliteTensor } from "@pare/tflite";
import { type Entry, isDynamic, withOutputs } from "./entry.ts";

type Shape = readonly number[];

/**
 * LiteRT.js cannot change the shape of an input, and takes the shapes of outputs from the file: an output that is larger
 * than the file says fails, one that is smaller comes with memory that nobody wrote to. So a model whose dimensions are open
 * is run as a copy for each shape, and what its outputs take is asked of LiteRT first.
 */
export const isOpen = (model: TfliteModel, { graph, inputs, outputs }: Entry): boolean =>
  [...inputs, ...outputs].some(({ tensor }) => isDynamic(model.graphs[graph]!.tensors[tensor]!));

/**
 * The model with these shapes of its inputs, its outputs being the shapes of its {@link ranked} outputs. What LiteRT knows
 * before a run it does not write to outputs, so that {@link ZERO}, one more input, is added to them.
 */
export function askingShapes(model: TfliteModel, entry: Entry, shapes: readonly Shape[]): TfliteModel {
  const graph = fixed(model.graphs[entry.graph]!, entry, shapes);
  const tensors: TfliteTensor[] = [...graph.tensors];
  const operators = [...graph.operators];
  const add = (name: string, shape: Shape): number => tensors.push({ name, type: "INT32", shape, has_rank: true }) - 1;
  const zero = add(ZERO, [1]);
  const outputs = ranked(model, entry).map(({ tensor }, i): TfliteEnd => {
    const rank = [graph.tensors[tensor]!.shape.length];
    const shape = add(`pare shape ${i}`, rank);
    const answer = add(answerName(i), rank);
    operators.push(
      operator("SHAPE", [tensor], [shape], { out_type: "INT32" }),
      operator("ADD", [shape, zero], [answer]),
    );
    return { name: answerName(i), tensor: answer };
  });
  const asking = withOutputs(model, entry, outputs, {
    ...graph,
    tensors,
    operators,
    inputs: [...graph.inputs, zero],
  });
  const signatures = asking.signatures.map((s, i) =>
    i === entry.index ? { ...s, inputs: [...s.inputs, { name: ZERO, tensor: zero }] } : s,
  );
  return { ...asking, signatures };
}

/** The outputs that have dimensions. */
export const ranked = (model: TfliteModel, { graph, outputs }: Entry): readonly TfliteEnd[] =>
  outputs.filter(({ tensor }) => model.graphs[graph]!.tensors[tensor]!.shape.length > 0);

/** The input of int32 [1] that has to be 0. */
export const ZERO = "pare zero";
/** What the shape of the n-th of them is called. */
export const answerName = (output: number): string => `pare answer ${output}`;

/** The model with these shapes of its inputs and outputs, and none that is open. */
export function withShapes(
  model: TfliteModel,
  entry: Entry,
  inputs: readonly Shape[],
  outputs: readonly Shape[],
): TfliteModel {
  const graph = fixed(model.graphs[entry.graph]!, entry, inputs);
  const shapes = new Map(entry.outputs.map(({ tensor }, i) => [tensor, outputs[i]!]));
  const tensors = graph.tensors.map((t, i) => (shapes.has(i) ? { ...t, shape: shapes.get(i)! } : t));
  return withOutputs(model, entry, entry.outputs, { ...graph, tensors });
}

function fixed(graph: TfliteGraph, { inputs }: Entry, given: readonly Shape[]): TfliteGraph {
  const shapes = new Map(inputs.map(({ tensor }, i) => [tensor, given[i]!]));
  return {
    ...graph,
    tensors: graph.tensors.map(({ shape_signature: _, ...t }, i) => ({ ...t, shape: shapes.get(i) ?? t.shape })),
  };
}
