import type { Enum, TableName, Tables, Union } from "./schema.gen.ts";
import { unions } from "./schema.gen.ts";

/** The builtin operators, by name. */
export type BuiltinOperator = Exclude<Enum<"BuiltinOperator">, number>;

/** Operators whose table of options is not called as they are, or that have none. */
const named = {
  AVERAGE_POOL_2D: "Pool2DOptions",
  L2_POOL_2D: "Pool2DOptions",
  MAX_POOL_2D: "Pool2DOptions",
  CONV_2D: "Conv2DOptions",
  CONV_3D: "Conv3DOptions",
  CONV_3D_TRANSPOSE: "Conv3DOptions",
  DEPTHWISE_CONV_2D: "DepthwiseConv2DOptions",
  L2_NORMALIZATION: "L2NormOptions",
  RNN: "RNNOptions",
  SVDF: "SVDFOptions",
  LSTM: "LSTMOptions",
  UNIDIRECTIONAL_SEQUENCE_LSTM: "UnidirectionalSequenceLSTMOptions",
  BIDIRECTIONAL_SEQUENCE_LSTM: "BidirectionalSequenceLSTMOptions",
  UNIDIRECTIONAL_SEQUENCE_RNN: "SequenceRNNOptions",
  BIDIRECTIONAL_SEQUENCE_RNN: "BidirectionalSequenceRNNOptions",
  LSH_PROJECTION: "LSHProjectionOptions",
  BATCH_TO_SPACE_ND: "BatchToSpaceNDOptions",
  SPACE_TO_BATCH_ND: "SpaceToBatchNDOptions",
  BATCH_MATMUL: "BatchMatMulOptions",
  TOPK_V2: "TopKV2Options",
  PADV2: "PadV2Options",
  MAXIMUM: "MaximumMinimumOptions",
  MINIMUM: "MaximumMinimumOptions",
  MEAN: "ReducerOptions",
  SUM: "ReducerOptions",
  REDUCE_PROD: "ReducerOptions",
  REDUCE_MAX: "ReducerOptions",
  REDUCE_MIN: "ReducerOptions",
  REDUCE_ANY: "ReducerOptions",
  REDUCE_ALL: "ReducerOptions",
  RANDOM_UNIFORM: "RandomOptions",
  RANDOM_STANDARD_NORMAL: "RandomOptions",
  MULTINOMIAL: "RandomOptions",
  ATAN2: "ATan2Options",
  STABLEHLO_COMPOSITE: "StableHLOCompositeOptions",
  STABLEHLO_SHIFT_LEFT: "StablehloShiftLeftOptions",
  CONCAT_EMBEDDINGS: "ConcatEmbeddingsOptions",
} as const satisfies Partial<Record<BuiltinOperator, TableName>>;

type Words<S extends string> = S extends `${infer A}_${infer B}`
  ? `${Capitalize<Lowercase<A>>}${Words<B>}`
  : Capitalize<Lowercase<S>>;
type OptionsTable = (typeof unions)["BuiltinOptions" | "BuiltinOptions2"][number];

/** The table of an operator's options: `Conv2DOptions` of `CONV_2D`; never where it has none. */
export type OptionsTableOf<Op extends BuiltinOperator> = Op extends keyof typeof named
  ? (typeof named)[Op]
  : Extract<`${Words<Op>}Options`, OptionsTable>;

/** The options of an operator. */
export type OptionsOf<Op extends BuiltinOperator> = [OptionsTableOf<Op>] extends [never]
  ? Readonly<Record<never, never>>
  : Tables[OptionsTableOf<Op>];

const first: ReadonlySet<string> = new Set(unions.BuiltinOptions);
const second: ReadonlySet<string> = new Set(unions.BuiltinOptions2);

/** The table of an operator's options and the union it is in, or undefined where the operator has none. */
export function optionsTableOf(
  op: BuiltinOperator,
): { readonly union: "builtin_options" | "builtin_options_2"; readonly table: OptionsTable } | undefined {
  const words = op.split("_").map((w) => w.slice(0, 1) + w.slice(1).toLowerCase());
  const table = (op in named ? named[op as keyof typeof named] : `${words.join("")}Options`) as OptionsTable;
  if (first.has(table)) return { union: "builtin_options", table };
  return second.has(table) ? { union: "builtin_options_2", table } : undefined;
}

/** Options as the fields of an operator that hold them; all tables, also empty ones, are written. */
export function optionFields<Op extends BuiltinOperator>(
  op: Op,
  options: OptionsOf<Op>,
): { readonly builtin_options?: Union<"BuiltinOptions">; readonly builtin_options_2?: Union<"BuiltinOptions2"> } {
  const found = optionsTableOf(op);
  return found ? { [found.union]: { type: found.table, value: options } } : {};
}
