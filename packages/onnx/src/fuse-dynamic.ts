import {
  attr,
  computedTensor,
  constantOf,
  dataOf,
  type GraphView,
  intAttribute,
  type Node,
  node,
  operatorOf,
  type ResidentTensor,
  type Rule,
  type RuleContext,
  resident,
  type Tensor,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";
import { reshaped } from "@pare/ops/weights";
import { isPlainGemm } from "./gemm.ts";

/** Codes that a value is decoded from: of an activation found at run time, or a constant's. */
interface Decoded {
  readonly decoder: Node;
  readonly codes: string;
  readonly scale: string;
  readonly zeroPoint: string | undefined;
}

/** What a value is decoded from when its range is found at run time. */
function dynamic(view: GraphView, value: string | undefined): Decoded | undefined {
  const decoder = view.producer(value ?? "");
  if (!decoder || operatorOf(decoder) !== "DequantizeLinear" || decoder.attributes.has("block_size")) return undefined;
  const [codes = "", scale = "", zeroPoint] = decoder.inputs;
  const maker = view.producer(codes);
  const isDynamic = maker && operatorOf(maker) === "DynamicQuantizeLinear";
  return isDynamic && maker.outputs.join() === decoder.inputs.join() ? { decoder, codes, scale, zeroPoint } : undefined;
}

/** A constant of int8 codes around 0, with one scale or one for each index of `axis`. */
function weightOf(view: GraphView, value: string | undefined, axis: number) {
  const decoder = view.producer(value ?? "");
  if (!decoder || operatorOf(decoder) !== "DequantizeLinear" || decoder.attributes.has("block_size")) return undefined;
  const [codes, scale, zeroPoint] = decoder.inputs.map((v) => (v ? view.constant(v) : undefined));
  if (codes?.dtype !== "int8" || scale?.dtype !== "float32" || scale.shape.length > 1) return undefined;
  if (decoder.inputs[2]) {
    // Engines take no zero point for each channel of a convolution.
    const zeros = zeroPoint && constantOf(view, decoder.inputs[2]);
    if (!zeros || !Array.from(dataOf(zeros as ResidentTensor<"int8">)).every((z) => z === 0)) return undefined;
  }
  const along = intAttribute(decoder, "axis", 1);
  const rank = codes.shape.length;
  if (scale.shape.length === 1 && scale.shape[0] !== 1 && (along < 0 ? along + rank : along) !== axis) return undefined;
  return { codes, scale, names: decoder.inputs };
}

/** What comes after a product in int32: its factors, and what is added to it in float32. */
function scaled(
  n: Node,
  product: Node,
  factors: readonly [string, string],
  bias: string | undefined,
  { fresh }: RuleContext,
): Node[] {
  const output = n.outputs[0]!;
  const [float, scale] = [fresh(`${output}_float`), fresh(`${output}_scale`)];
  const whole = bias === undefined ? output : fresh(`${output}_scaled`);
  const nodes = [
    product,
    node("Cast", [product.outputs[0]!], [float], { to: attr.int(codeOf("float32")) }),
    node("Mul", factors, [scale]),
    node("Mul", [float, scale], [whole]),
  ];
  return bias === undefined ? nodes : [...nodes, node("Add", [whole, bias], [output])];
}

/** MatMul and Gemm of an activation whose range is found at run time become MatMulInteger. */
export const fuseDynamicMatMul: Rule = {
  name: "MatMulInteger",
  ops: ["MatMul", "Gemm"],
  match(n, view, ctx) {
    const transposed = n.op === "Gemm" && intAttribute(n, "transB", 0) === 1;
    if (n.op === "Gemm" && !isPlainGemm(n)) return undefined;
    const x = dynamic(view, n.inputs[0]);
    const w = x && weightOf(view, n.inputs[1], transposed ? 0 : 1);
    if (!x || w?.codes.shape.length !== 2) return undefined;
    const codes = transposed ? ctx.weight(w.names[0]!, turned(w.codes)) : w.names[0]!;
    const product = ctx.fresh(`${n.outputs[0]}_product`);
    const integer = node("MatMulInteger", [x.codes, codes, x.zeroPoint!], [product], {}, { name: n.name });
    const bias = n.op === "Gemm" ? n.inputs[2] || undefined : undefined;
    return { remove: [n], add: scaled(n, integer, [x.scale, w.names[1]!], bias, ctx) };
  },
};

/** Conv of an activation whose range is found at run time becomes ConvInteger. */
export const fuseDynamicConv: Rule = {
  name: "ConvInteger",
  ops: ["Conv"],
  match(n, view, ctx) {
    const x = dynamic(view, n.inputs[0]);
    const w = x && weightOf(view, n.inputs[1], 0);
    if (!x || !w) return undefined;
    const bias = n.inputs[2] ? view.constant(n.inputs[2]) : undefined;
    if (n.inputs[2] && !bias) return undefined;
    const product = ctx.fresh(`${n.outputs[0]}_product`);
    const channels = (t: Tensor) => [t.shape[0] ?? 1, ...w.codes.shape.slice(2).map(() => 1)];
    const scale = ctx.weight(w.names[1]!, reshaped(w.scale, channels(w.scale)));
    const added = bias && ctx.weight(n.inputs[2]!, reshaped(bias, channels(bias)));
    const integer = node("ConvInteger", [x.codes, w.names[0]!, x.zeroPoint!], [product], n.attributes, {
      name: n.name,
    });
    return { remove: [n], add: scaled(n, integer, [x.scale, scale], added, ctx) };
  },
};

/** A matrix of int8 the other way round. */
function turned(t: Tensor): Tensor<"int8"> {
  const [rows = 0, columns = 0] = t.shape;
  return computedTensor({
    dtype: "int8",
    shape: [columns, rows],
    key: t.key && `${t.key}|turned@1`,
    async compute(signal) {
      const codes = dataOf((await resident(t, signal)) as ResidentTensor<"int8">) as Int8Array;
      return Int8Array.from(codes, (_, i) => codes[(i % rows) * columns + Math.floor(i / rows)]!);
    },
  });
}

/** Takes away decoders that nothing reads any more. */
export const dropDecoders: Rule = {
  name: "unread DequantizeLinear",
  ops: ["DequantizeLinear"],
  match: (n, view) =>
    n.outputs.every((v) => view.uses(v).length === 0 && !view.isOutput(v)) ? { remove: [n] } : undefined,
};
