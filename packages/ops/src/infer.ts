import { attribute, constantNodeValue, type DType, type GraphView, type Model, type Node, subgraphsOf, type ValueType, viewOf } from "@pare/core";
import { dtypeOf } from "./dtype-codes.ts";

/** Types of a model's values, as far as they can be known without running it. */
export interface Types {
  of(view: GraphView, name: string): ValueType | undefined;
}

/** Element types of all values: declared ones, those of weights, and what operators make of them. */
export function inferTypes(model: Model): Types {
  const known = new Map<GraphView, Map<string, ValueType>>();
  const of = (view: GraphView, name: string): ValueType | undefined => {
    const definer = view.definer(name);
    return definer && (known.get(definer)?.get(name) ?? definer.info(name)?.type);
  };
  const dtype = (view: GraphView, name: string | undefined): DType | undefined => {
    const type = name ? of(view, name) : undefined;
    return type?.kind === "tensor" ? type.dtype : undefined;
  };
  const visit = (view: GraphView) => {
    const types = new Map<string, ValueType>();
    known.set(view, types);
    for (const [name, t] of view.graph.weights) types.set(name, { kind: "tensor", dtype: t.dtype, shape: t.shape });
    for (const n of view.graph.nodes) {
      const children = view.children.filter((c) => c.holder === n);
      for (const child of children) visit(child);
      const constant = constantNodeValue(n);
      if (constant && n.outputs[0]) {
        types.set(n.outputs[0], { kind: "tensor", dtype: constant.dtype, shape: constant.shape });
        continue;
      }
      n.outputs.forEach((v, i) => {
        if (v === "") return;
        const found =
          children.length > 0 ? fromBody(n, children, i, dtype) : dtypeOfOutput(n, i, (k) => dtype(view, n.inputs[k]));
        const declared = view.graph.types.get(v)?.type;
        if (found) types.set(v, { kind: "tensor", dtype: found, ...(declared?.kind === "tensor" && declared.shape ? { shape: declared.shape } : {}) });
      });
    }
  };
  for (const view of viewOf(model).graphs) if (!view.parent) visit(view);
  return { of };
}

function fromBody(n: Node, children: readonly GraphView[], index: number, dtype: (view: GraphView, name: string) => DType | undefined): DType | undefined {
  const body = children[0]!;
  const output = body.graph.outputs[n.op === "Loop" ? index + 1 : index];
  return output && dtype(body, output.name);
}

function dtypeOfOutput(n: Node, index: number, input: (k: number) => DType | undefined): DType | undefined {
  if (n.domain !== "" || !subgraphsOf(n).next().done) return undefined;
  switch (n.op) {
    case "Cast":
      return dtypeOf(Number(attribute(n, "to", "int")));
    case "CastLike":
    case "DequantizeLinear":
    case "Where":
      return input(1);
    case "QuantizeLinear":
      return input(2) ?? dtypeOf(Number(attribute(n, "output_dtype", "int") ?? 2));
    case "DynamicQuantizeLinear":
      return index === 1 ? "float32" : "uint8";
    case "ConstantOfShape":
      return attribute(n, "value", "tensor")?.dtype ?? "float32";
    case "OneHot":
      return input(2);
    case "Shape":
    case "Size":
    case "NonZero":
    case "ArgMax":
    case "ArgMin":
    case "NonMaxSuppression":
      return "int64";
    case "TopK":
    case "MaxPool":
      return index === 0 ? input(0) : "int64";
    case "Dropout":
      return index === 0 ? input(0) : "bool";
    case "LayerNormalization":
      return index === 0 ? input(0) : "float32";
    case "Equal":
    case "Greater":
    case "GreaterOrEqual":
    case "Less":
    case "LessOrEqual":
    case "And":
    case "Or":
    case "Xor":
    case "Not":
    case "IsNaN":
    case "IsInf":
      return "bool";
    default:
      return input(0);
  }
}
