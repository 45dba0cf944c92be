import { type Model, operatorOf, viewOf } from "@pare/core";
import { costOf } from "@pare/ops/cost";
import { inputShapes } from "./synthetic.ts";

/** Multiply-accumulates of one run; of an `If` those of its costlier branch. */
export interface ModelCost {
  readonly macs: number;
  /** How many nodes there are whose cost is not known. */
  readonly unknown: number;
  /** The sizes that were taken for free dimensions of inputs, for people; empty when none are free. */
  readonly assumed: string;
  readonly byOperator: ReadonlyMap<string, number>;
}

/** The cost of a model for inputs of the given shapes; of others free dimensions are as made-up inputs have them. */
export function modelCost(model: Model, shapes?: ReadonlyMap<string, readonly number[]>): ModelCost {
  const inputs = inputShapes(model, shapes);
  const { macs, unknown, nodes } = costOf(model, { inputs });
  const byOperator = new Map<string, number>();
  for (const { node, macs: n } of nodes) byOperator.set(operatorOf(node), (byOperator.get(operatorOf(node)) ?? 0) + n);
  const free = model.graph.inputs.filter(
    (v) => inputs.has(v.name) && v.type?.kind === "tensor" && !v.type.shape?.every((d) => typeof d === "number"),
  );
  return {
    macs,
    unknown: unknown.length + foreignNodes(model),
    assumed: free.map((v) => `${v.name} [${inputs.get(v.name)!.join(", ")}]`).join("; "),
    byOperator,
  };
}

/** Nodes of domains that are neither ONNX's nor defined by the model. */
const foreignNodes = (m: Model): number => {
  const functions = new Set(m.functions.map((f) => operatorOf({ domain: f.domain, op: f.name })));
  return viewOf(m).graphs.reduce(
    (count, { graph }) => count + graph.nodes.filter((n) => n.domain !== "" && !functions.has(operatorOf(n))).length,
    0,
  );
};
