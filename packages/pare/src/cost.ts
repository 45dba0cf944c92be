import { type GraphView, intAttribute, type Model, type Node, operatorOf, viewOf } from "@pare/core";
import { inferTypes, type Types } from "@pare/ops/infer";
import { inputShapes } from "./synthetic.ts";

/** Multiplications with additions (MACs) of one run, each subgraph counted once. */
export interface ModelCost {
  readonly macs: number;
  /** Nodes that multiply, but of whose shapes too little is known. */
  readonly unknown: number;
  /** The sizes that were taken for free dimensions of inputs, for people; empty when none are free. */
  readonly assumed: string;
  readonly byOperator: ReadonlyMap<string, number>;
}

/** The cost of a model for inputs of the given shapes; of others free dimensions are as made-up inputs have them. */
export function modelCost(model: Model, shapes?: ReadonlyMap<string, readonly number[]>): ModelCost {
  const inputs = inputShapes(model, shapes);
  const types = inferTypes(model, { inputs });
  const byOperator = new Map<string, number>();
  let unknown = 0;
  for (const view of viewOf(model).graphs)
    for (const n of view.graph.nodes) {
      const macs = n.domain === "" ? macsOf(n, view, types) : 0;
      if (macs === undefined) unknown++;
      else if (macs > 0) byOperator.set(operatorOf(n), (byOperator.get(operatorOf(n)) ?? 0) + macs);
    }
  const free = model.graph.inputs.filter(
    (v) => inputs.has(v.name) && v.type?.kind === "tensor" && !v.type.shape?.every((d) => typeof d === "number"),
  );
  return {
    macs: [...byOperator.values()].reduce((a, b) => a + b, 0),
    unknown,
    assumed: free.map((v) => `${v.name} [${inputs.get(v.name)!.join(", ")}]`).join("; "),
    byOperator,
  };
}

const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

/** By the definitions of the operators; undefined when a shape that is needed is not known. */
function macsOf(n: Node, view: GraphView, types: Types): number | undefined {
  const shape = (name: string | undefined): readonly number[] | undefined => {
    const type = name ? types.of(view, name) : undefined;
    const dims = type?.kind === "tensor" ? type.shape : undefined;
    return dims?.every((d) => typeof d === "number") ? (dims as readonly number[]) : undefined;
  };
  const [a, b, out] = [shape(n.inputs[0]), shape(n.inputs[1]), shape(n.outputs[0])];
  switch (n.op) {
    case "Conv":
      return b && out && product(out) * product(b.slice(1));
    case "ConvTranspose":
      return a && b && product(a) * product(b.slice(1));
    case "MatMul":
      return a && out && product(out) * (a.at(-1) ?? 1);
    case "Gemm":
      return a && out && product(out) * (a[intAttribute(n, "transA", 0) === 1 ? 0 : 1] ?? 1);
    case "LSTM":
    case "GRU":
    case "RNN": {
      const r = shape(n.inputs[2]);
      return a && b && r && a[0]! * a[1]! * (product(b) + product(r));
    }
    default:
      return 0;
  }
}
