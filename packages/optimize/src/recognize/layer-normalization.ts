import {
  attr,
  constantOf,
  dataOf,
  type GraphView,
  intAttribute,
  type Model,
  type Node,
  node,
  type ResidentTensor,
} from "@pare/core";
import { dtypeOf, rankOf, rulePass, shapeOf } from "../rule-pass.ts";
import { any, constant, type Match, named, number, op, type Pattern } from "./pattern.ts";
import { patternRule } from "./rule.ts";

const [x, d] = [any("x"), any("d")];
const centered = named("d", op("Sub", x, named("mean", op("ReduceMean", x, constant("axes")))));
const squares = [op("Pow", d, number(2)), op("Mul", d, d)];
const deviations = squares.map((square) =>
  op("Sqrt", op("Add", named("variance", op("ReduceMean", square, constant("axes2"))), number("epsilon"))),
);
const normals = deviations.map((deviation) => op("Div", centered, deviation));
const scaled = normals.map((normal) => op("Mul", normal, constant("scale")));
const patterns: Pattern[] = [...scaled.map((s) => op("Add", s, constant("bias"))), ...scaled];

function build({ values, numbers, named: nodes }: Match, root: Node, view: GraphView, model: Model): Node | undefined {
  const from = values.get("x")!;
  const rank = rankOf(model, view, from);
  const width = shapeOf(model, view, from)?.at(-1);
  if (dtypeOf(model, view, from) !== "float32" || rank === undefined) return undefined;
  const isLast = (axes: string) => {
    const t = constantOf(view, values.get(axes)!) as ResidentTensor<"int64"> | undefined;
    return t?.dtype === "int64" && t.byteLength === 8 && [BigInt(-1), BigInt(rank - 1)].includes(dataOf(t)[0]!);
  };
  const keeps = (n: Node) => intAttribute(n, "keepdims", 1) !== 0;
  const isRow = (v: string | undefined) => {
    const shape = v === undefined ? undefined : view.constant(v)?.shape;
    return v === undefined || (shape?.length === 1 && shape[0] === width);
  };
  const [scale, bias] = [values.get("scale")!, values.get("bias")];
  if (!isLast("axes") || !isLast("axes2") || !isRow(scale) || !isRow(bias)) return undefined;
  if (!keeps(nodes.get("mean")!) || !keeps(nodes.get("variance")!)) return undefined;
  const attributes = { axis: attr.int(-1), epsilon: attr.float(numbers.get("epsilon")!) };
  return node("LayerNormalization", [from, scale, ...(bias ? [bias] : [])], [root.outputs[0]!], attributes, {
    name: root.name,
  });
}

/**
 * Puts `LayerNormalization` (Ba et al. 2016) over the last axis in the place of the arithmetic that it stands for:
 * `(x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias`.
 */
export const recognizeLayerNormalization = rulePass("recognize-layer-normalization", [
  patternRule("layer-normalization", patterns, build),
]);
