import { attr, IR_OPSET, type Model, type ResidentTensor, type Tensor, tensor } from "@pare/core";
import { buildGraph, functionDef } from "@pare/ops/build";
import { syntheticTensor } from "./synthetic.ts";

const opsets = new Map([["", IR_OPSET]]);
const withAcme = new Map([...opsets, ["acme", 1]]);

/** Weights that look like trained ones: both signs, several magnitudes, the same at each call. */
export function trainedLike(shape: readonly number[], seed = 1): ResidentTensor<"float32"> {
  const count = shape.reduce((n, d) => n * d, 1);
  return tensor(
    "float32",
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin((i + 1) * (seed + 0.618)) * 2 ** -((i + seed) % 5)),
  );
}

/** A small image classifier: convolutions, normalisation, pooling, a matrix in an initializer and one in a `Constant`. */
export function convolutionalModel(): Model {
  const b = buildGraph();
  const x = b.input("float32", ["N", 3, 8, 8], "image");
  const w = b.weight(trainedLike([8, 3, 3, 3], 1), "conv.weight");
  const conv = b.op("Conv", [x, w, b.weight(trainedLike([8], 2), "conv.bias")], { pads: attr.ints([1, 1, 1, 1]) });
  const positive = tensor("float32", [8], [1, 2, 0.5, 1, 1, 3, 1, 1]);
  const norm = b.op("BatchNormalization", [
    conv,
    ...[trainedLike([8], 3), trainedLike([8], 4), trainedLike([8], 5), positive].map((t) => b.weight(t)),
  ]);
  const same = b.op("Identity", [b.op("Relu", [norm])]);
  const depthwise = b.op("Conv", [same, b.weight(trainedLike([8, 1, 3, 3], 6), "depthwise.weight")], {
    group: attr.int(8),
  });
  const flat = b.op("Flatten", [b.op("GlobalAveragePool", [depthwise])]);
  const matrix = b.op("Constant", [], { value: attr.tensor(trainedLike([8, 16], 7)) });
  const hidden = b.op("Relu", [b.op("MatMul", [flat, matrix])]);
  const logits = b.op(
    "Gemm",
    [hidden, b.weight(trainedLike([4, 16], 8), "head.weight"), b.weight(trainedLike([4], 9))],
    { transB: attr.int(1) },
  );
  b.output(b.op("Softmax", [logits], { axis: attr.int(-1) }), "float32", ["N", 4]);
  return b.model({ opsets, metadata: new Map([["author", "someone"]]) });
}

/** Branches that capture values from around, hold weights of their own and depend on an input. */
export function branchingModel(): Model {
  const b = buildGraph();
  const x = b.input("float32", ["N", 16], "x");
  const when = b.input("bool", [], "when");
  const shared = b.weight(trainedLike([16, 16], 11), "shared");
  const h = b.op("MatMul", [x, shared]);
  const inner = buildGraph("inner_");
  inner.output(inner.op("MatMul", [h, inner.weight(trainedLike([16, 16], 14))]));
  const innerElse = buildGraph("inner_else_");
  innerElse.output(innerElse.op("Neg", [h]));
  const yes = buildGraph("then_");
  const nested = yes.op("If", [when], {
    then_branch: attr.graph(inner.graph("inner")),
    else_branch: attr.graph(innerElse.graph("inner_else")),
  });
  yes.output(yes.op("MatMul", [nested, yes.weight(trainedLike([16, 8], 12))]));
  const no = buildGraph("else_");
  const constant = no.op("Constant", [], { value: attr.tensor(trainedLike([16, 8], 13)) });
  no.output(no.op("MatMul", [no.op("Identity", [h]), constant]));
  const y = b.op("If", [when], {
    then_branch: attr.graph(yes.graph("then")),
    else_branch: attr.graph(no.graph("else")),
  });
  b.output(y, "float32", ["N", 8]);
  return b.model({ opsets });
}

/** Operators nobody knows, and a function of the model that is called. */
export function extendedModel(): Model {
  const body = buildGraph("f_");
  body.output(body.op("Mul", ["f_in", body.op("Sigmoid", ["f_in"])]));
  const swish = { ...body.graph("swish"), inputs: [{ name: "f_in" }] };
  const b = buildGraph();
  const x = b.input("float32", ["N", 16], "x");
  const fused = b.op("acme.FusedGelu", [b.op("MatMul", [x, b.weight(trainedLike([16, 16], 21))])], {
    approximate: attr.string("tanh"),
    alpha: attr.float(0.5),
    table: attr.tensor(tensor("float32", [2], [1, 2])),
  });
  const y = b.op("acme.Swish", [fused]);
  b.output(b.op("MatMul", [y, b.weight(trainedLike([16, 4], 22))]), "float32", ["N", 4]);
  return b.model({ opsets: withAcme, functions: [functionDef("acme", "Swish", swish, opsets)] });
}

/** Constants of many element types, and a value that is both weight and output. */
export function mixedTypesModel(): Model {
  const b = buildGraph();
  const x = b.input("int64", ["N"], "indices");
  const table = b.weight(trainedLike([32, 8], 31), "table");
  const rows = b.op("Gather", [table, x]);
  const half = b.op("Cast", [b.weight(tensor("float16", [8], new Uint16Array(8).fill(0x3c00)))], { to: attr.int(1) });
  const codes = b.op("DequantizeLinear", [
    b.weight(tensor("int4", [8], [1, -2, 3, -4, 5, -6, 7, -8])),
    b.weight(tensor("float32", [], [0.5])),
  ]);
  const sum = b.op("Add", [b.op("Add", [rows, half]), codes]);
  const axes = b.op("Constant", [], { value_ints: attr.ints([1]) });
  b.output(b.op("ReduceSum", [sum, axes], { keepdims: attr.int(0) }), "float32", ["N"]);
  b.output(b.weight(tensor("float64", [2], [1, 2]), "answer"), "float64", [2]);
  return b.model({ opsets });
}

/** A matrix multiplication by a given weight, for weights that are lazy or large. */
export function singleWeightModel(weight: Tensor): Model {
  const b = buildGraph();
  const [rows = 1, columns = 1] = weight.shape;
  b.output(b.op("MatMul", [b.input("float32", ["N", rows], "x"), b.weight(weight, "weight")]), "float32", [
    "N",
    columns,
  ]);
  return b.model({ opsets });
}

/** A model with a weight above the resident limit that is read when asked for. */
export const lazyModel = (): Model => singleWeightModel(syntheticTensor({ shape: [256, 128] }).tensor);

/** The models that the laws are tried on by default, made anew. */
export const lawModels = (): Readonly<Record<string, Model>> => ({
  convolutional: convolutionalModel(),
  branching: branchingModel(),
  extended: extendedModel(),
  "mixed types": mixedTypesModel(),
  "lazy weight": lazyModel(),
});
