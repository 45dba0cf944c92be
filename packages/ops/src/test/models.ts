/** Models of one graph, and what is inferred of them. */
import { type Dim, type DType, graph, type Model, model, type Node, type Tensor, value, viewOf } from "@pare/core";
import { type InferOptions, inferTypes } from "../infer.ts";

export const outputs = (...names: string[]) => names.map((name) => ({ name }));

/** A model of one graph: inputs with shapes, constants, nodes. */
export const made = (
  inputs: Record<string, readonly Dim[]>,
  weights: Record<string, Tensor>,
  nodes: readonly Node[],
  dtype: DType = "float32",
): Model =>
  model(
    graph({
      inputs: Object.entries(inputs).map(([name, shape]) => value(name, dtype, shape)),
      weights: new Map(Object.entries(weights)),
      nodes,
      outputs: outputs(...nodes.at(-1)!.outputs.filter(Boolean)),
    }),
  );

export const typeIn = (m: Model, name: string, options: InferOptions = {}) =>
  inferTypes(m, options).of(viewOf(m).main, name);

export const shapeIn = (m: Model, name = "y", options: InferOptions = {}) => {
  const type = typeIn(m, name, options);
  return type?.kind === "tensor" ? type.shape : undefined;
};
