import { type DType, isFloat, type Model, type Node, readsOf } from "@pare/core";
import { carriesCodes } from "@pare/ops/gradient";

/** What lies between values and a loss that depends on them. */
export interface Path {
  /** Nodes through which the loss depends on the values, in the order of the graph. */
  readonly nodes: readonly Node[];
  /** Values that have a gradient. */
  readonly active: ReadonlySet<string>;
}

const quantizes = new Set(["QuantizeLinear", "DynamicQuantizeLinear"]);

/** Finds the nodes of the main graph from `by` to `loss`. Integers pass no gradient, but codes of quantized values do. */
export function pathOf(
  model: Model,
  loss: string,
  by: readonly string[],
  dtypeOf: (value: string) => DType | undefined,
): Path {
  const active = new Set(by);
  const reached: Node[] = [];
  for (const n of model.graph.nodes) {
    const from = [...readsOf(n)].filter((v) => active.has(v));
    if (from.length === 0) continue;
    const codes = carriesCodes.has(n.op) && from.some((v) => !isReal(dtypeOf(v)));
    const passes = n.outputs.filter(
      (v, i) => v !== "" && ((i === 0 && (codes || quantizes.has(n.op))) || isReal(dtypeOf(v))),
    );
    if (passes.length === 0) continue;
    reached.push(n);
    for (const v of passes) active.add(v);
  }
  const needed = new Set([loss]);
  const nodes = reached
    .reverse()
    .filter((n) => {
      if (!n.outputs.some((v) => needed.has(v) && active.has(v))) return false;
      for (const v of readsOf(n)) if (active.has(v)) needed.add(v);
      return true;
    })
    .reverse();
  return { nodes, active };
}

/** A value whose type is not known may be one. */
const isReal = (dtype: DType | undefined): boolean => dtype === undefined || isFloat(dtype);
