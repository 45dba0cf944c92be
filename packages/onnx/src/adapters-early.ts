import { attr, type Node, tensor } from "@pare/core";
import {
  type AdaptContext,
  type Adapter,
  type AdapterTable,
  attributeOf,
  listOf,
  noAdapter,
  withAttributes,
  withInputs,
} from "./adapt.ts";

/** The hint about memory that opset 6 dropped. */
const noHint: Adapter = (n) => withAttributes(n, { consumed_inputs: undefined });

/** Broadcasting was asked for until 6; asked for without an axis it is what 7 always does. */
const broadcast: Adapter = (n, ctx) => {
  if (attributeOf(n, ctx, "axis", "int") !== undefined) throw noAdapter(ctx, n, "it broadcasts along an axis");
  return withAttributes(n, { broadcast: undefined, axis: undefined });
};

const inference: Adapter = (n, ctx) => {
  if (Number(attributeOf(n, ctx, "is_test", "int") ?? 0) !== 1) throw noAdapter(ctx, n, "it is in training mode");
  return withAttributes(n, { is_test: undefined });
};

const without =
  (attribute: string): Adapter =>
  (n) =>
    withAttributes(n, { [attribute]: undefined });

const refuse: Adapter = (n, ctx) => {
  throw noAdapter(ctx, n, "it is of an opset before 7");
};

const each = (ops: string, version: number, adapter: Adapter): [string, [number, Adapter]][] =>
  ops.split(" ").map((op) => [op, [version, adapter]]);

const entries: readonly [string, [number, Adapter]][] = [
  ...each("GRU PRelu", 3, refuse),
  ...each("GlobalLpPool LpPool Split", 2, refuse),
  ...each("Cast Selu Tile", 6, refuse),
  ...each(
    "Abs Add BatchNormalization Ceil Clip Div Dropout Elu Exp Floor HardSigmoid InstanceNormalization LeakyRelu Log " +
      "Max Mean Min Mul Neg Reciprocal Relu Sigmoid Sqrt Sub Sum Tanh",
    6,
    noHint,
  ),
  ...each("Add And Div Equal Greater Less Mul Or Pow Sub Xor", 7, broadcast),
  ...each("BatchNormalization Dropout", 7, inference),
  ...each("GRU LSTM RNN", 7, without("output_sequence")),
  ...each("Gemm", 7, without("broadcast")),
  ...each("PRelu Upsample", 7, refuse),
  [
    "Concat",
    [
      4,
      (n: Node, ctx: AdaptContext) =>
        attributeOf(n, ctx, "axis", "int") === undefined ? withAttributes(n, { axis: attr.int(1) }) : n,
    ],
  ],
  [
    "Pad",
    [
      2,
      (n: Node, ctx: AdaptContext) => {
        const pads = listOf(n, ctx, "paddings");
        if (!pads) throw noAdapter(ctx, n, "it has no paddings");
        return withAttributes(n, { paddings: undefined, pads: attr.ints(pads) });
      },
    ],
  ],
  [
    "Reshape",
    [
      5,
      (n: Node, ctx: AdaptContext) => {
        const shape = listOf(n, ctx, "shape");
        if (!shape) throw noAdapter(ctx, n, "it has no shape");
        const made = ctx.constant(`${n.outputs[0]}_shape`, tensor("int64", [shape.length], shape.map(BigInt)));
        return withInputs(withAttributes(n, { shape: undefined, consumed_inputs: undefined }), [n.inputs[0], made]);
      },
    ],
  ],
];

/** The same for opsets before 7. */
export const earlyAdapters: AdapterTable = entries.reduce(
  (table, [op, entry]) => table.set(op, [...(table.get(op) ?? []), entry]),
  new Map<string, (readonly [number, Adapter])[]>(),
);
