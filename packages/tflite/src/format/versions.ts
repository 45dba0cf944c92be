import type { TfliteOperator, TfliteTensor } from "./model.ts";
import type { BuiltinOperator } from "./options.ts";

/** What the version of an operator depends on. */
export interface Signature {
  readonly inputs: readonly (TfliteTensor | undefined)[];
  readonly outputs: readonly (TfliteTensor | undefined)[];
  readonly options: Readonly<Record<string, unknown>>;
}

/** A version and when it is needed; the first that is decides, and where none is, 1. */
type Rule = readonly [version: number, when: (s: Signature) => boolean];

const typeOf = (s: Signature, input: number) => s.inputs[input]?.type;
const rankOf = (s: Signature, input: number) => s.inputs[input]?.shape.length ?? 0;
const scalesOf = (t: TfliteTensor | undefined) => t?.quantization?.scale ?? [];
/** Whether a tensor has a scale for each index of a dimension. */
const perChannel = (t: TfliteTensor | undefined, dim: number) =>
  scalesOf(t).length > 0 && scalesOf(t).length === t?.shape.at(dim);
const perAxis = (t: TfliteTensor | undefined) =>
  scalesOf(t).length > 1 && perChannel(t, t?.quantization?.quantized_dimension ?? 0);
const has = (option: string) => (s: Signature) => Boolean(s.options[option]) && s.options[option] !== "NONE";
const isOf =
  (input: number, ...types: string[]) =>
  (s: Signature) =>
    types.includes(String(typeOf(s, input)));
/** Versions for types of an input. */
const byType = (versions: Readonly<Record<string, number>>, input = 0): Rule[] =>
  Object.entries(versions).map(([type, version]) => [version, isOf(input, type)]);
const all =
  (...conditions: ((s: Signature) => boolean)[]) =>
  (s: Signature) =>
    conditions.every((c) => c(s));
const types = (...wanted: (string | undefined)[]) => all(...wanted.map((t, i) => (t ? isOf(i, t) : () => true)));
const outputOf =
  (...names: string[]) =>
  (s: Signature) =>
    names.includes(String(s.outputs[0]?.type));
const broadcast5 = (s: Signature) =>
  `${s.inputs[0]?.shape}` !== `${s.inputs[1]?.shape}` && Math.max(rankOf(s, 0), rankOf(s, 1)) > 4;
const rankOver = (rank: number) => (s: Signature) => rankOf(s, 0) > rank;
const quantized = (s: Signature) => s.inputs[0]?.quantization !== undefined;
const FLOAT8 = ["FLOAT8_E4M3FN", "FLOAT8_E5M2"];
const float8 = (version: number, input = 0): Rule => [version, isOf(input, ...FLOAT8)];
const both =
  (...names: string[]) =>
  (s: Signature) =>
    isOf(0, ...names)(s) || outputOf(...names)(s);
/** Float activations with int8 weights. */
const hybrid = (weights: number) => all(isOf(0, "FLOAT32"), isOf(weights, "INT8"), outputOf("FLOAT32"));
const hybridRnn: Rule[] = [
  [3, all(isOf(1, "INT8"), outputOf("FLOAT32"), has("asymmetric_quantize_inputs"))],
  [2, all(isOf(1, "INT8"), outputOf("FLOAT32"))],
];
const bytes = byType({ INT8: 2, INT16: 3 });
const pool: Rule[] = bytes;
const compare = byType({ INT16: 3, INT8: 2 });
const only8 = byType({ INT8: 2 });
const wide: Rule[] = [[2, isOf(0, "INT8", "INT16")]];
const padding: Rule[] = [float8(6), [5, isOf(0, "BOOL")], [4, rankOver(4)], ...byType({ INT16: 3, INT8: 2 })];
const blocks: Rule[] = [[4, isOf(0, "INT16")], [3, (s) => rankOf(s, 0) !== 4], ...only8];
const resize = (v3: (s: Signature) => boolean): Rule[] => [[4, isOf(0, "INT16")], [3, v3], ...only8];
const extremes: Rule[] = [[4, types("INT16")], [3, broadcast5], ...only8];

/** LiteRT's rules (tflite/converter/tools/versioning/op_version.cc). */
const rules: Partial<Record<BuiltinOperator, readonly Rule[]>> = {
  CONV_2D: [
    [8, all(types("INT16", "INT8"), has("quantized_bias_type"))],
    [6, (s) => rankOf(s, 0) === 4 && rankOf(s, 1) === 4 && s.inputs[0]!.shape[3] !== s.inputs[1]!.shape[3]],
    [4, isOf(0, "INT16")],
    [3, types("INT8", "INT8")],
    [7, types("INT8", "INT4")],
    [5, all(hybrid(1), (s) => perChannel(s.inputs[1], 0))],
    [2, hybrid(1)],
  ],
  DEPTHWISE_CONV_2D: [
    [5, isOf(0, "INT16")],
    [6, all(hybrid(1), (s) => perChannel(s.inputs[1], 3))],
    [4, hybrid(1)],
    [3, types("INT8", "INT8")],
    [7, types("INT8", "INT4")],
    [2, (s) => [s.options["dilation_w_factor"], s.options["dilation_h_factor"]].some((d) => (d ?? 1) !== 1)],
  ],
  EMBEDDING_LOOKUP: [
    [4, (s) => isOf(1, "INT4")(s) || (scalesOf(s.inputs[1]).length > 1 && perChannel(s.inputs[1], 0))],
    [5, isOf(1, "INT2")],
  ],
  FAKE_QUANT: [[2, has("narrow_range")]],
  FULLY_CONNECTED: [
    [14, isOf(1, "INT2")],
    [13, types("INT16", "INT4")],
    [12, all(hybrid(1), (s) => scalesOf(s.inputs[1]).length > 1 && perChannel(s.inputs[1], 0))],
    [11, all(types("INT16", "INT8"), has("quantized_bias_type"))],
    [8, (s) => s.inputs[1]?.sparsity !== undefined],
    [7, isOf(0, "INT16")],
    [6, (s) => s.inputs.length === 2],
    [5, has("keep_num_dims")],
    [4, types("INT8", "INT8")],
    [10, types("INT8", "INT4")],
    [9, all(hybrid(1), has("asymmetric_quantize_inputs"))],
    [3, hybrid(1)],
    [2, (s) => s.options["weights_format"] === "SHUFFLED4x16INT8"],
  ],
  GATHER: [
    float8(8),
    [7, isOf(0, "INT4")],
    [6, isOf(1, "INT16")],
    [5, has("batch_dims")],
    ...byType({ INT16: 4, BOOL: 3, INT8: 2 }),
  ],
  SVDF: [
    [3, isOf(0, "INT8")],
    [4, all(hybrid(1), has("asymmetric_quantize_inputs"))],
    [2, hybrid(1)],
  ],
  SIGN: byType({ INT32: 2 }),
  SIN: byType({ FLOAT16: 2 }),
  COS: byType({ FLOAT16: 2 }),
  MUL: [
    [8, isOf(0, "FLOAT16")],
    [
      7,
      (s) => isOf(0, "UINT32")(s) || (isOf(0, "INT16")(s) && !s.inputs[0]?.quantization && !s.inputs[1]?.quantization),
    ],
    ...byType({ COMPLEX64: 6, INT64: 5, INT16: 4 }),
    [3, rescalesUp],
    ...only8,
  ],
  MAX_POOL_2D: pool,
  AVERAGE_POOL_2D: pool,
  TRANSPOSE: [
    [9, isOf(0, "FLOAT16")],
    [8, (s) => rankOf(s, 0) > 6 || isOf(0, "BFLOAT16")(s)],
    [7, isOf(0, "INT4")],
    [6, rankOver(5)],
    [5, isOf(0, "INT16")],
    [4, rankOver(4)],
    ...byType({ BOOL: 3, INT8: 2 }),
  ],
  TRANSPOSE_CONV: [
    [5, (s) => isOf(2, "INT16")(s) && isOf(1, "INT8")(s) && has("quantized_bias_type")(s)],
    [4, has("fused_activation_function")],
    [3, (s) => s.inputs[3] !== undefined],
    [2, isOf(1, "INT8")],
  ],
  LSTM: [
    [5, all(isFull, isOf(0, "INT16"), isOf(2, "INT8"), outputOf("INT16"))],
    [4, all(isFull, hybrid(2), has("asymmetric_quantize_inputs"))],
    [3, all(isFull, hybrid(2))],
    [2, (s) => s.options["kernel_type"] === "BASIC"],
  ],
  SPLIT: [float8(5, 1), ...byType({ INT16: 4, INT32: 3, INT8: 2 }, 1)],
  SPARSE_TO_DENSE: byType({ INT8: 3, UINT8: 3, INT64: 2 }, 2),
  SLICE: [...byType({ FLOAT16: 8, INT4: 7, UINT32: 6 }), [5, rankOver(4)], ...byType({ INT16: 4, STRING: 3, INT8: 2 })],
  UNPACK: [float8(6), ...byType({ INT8: 2, UINT8: 2, BOOL: 3, INT16: 4, FLOAT16: 5, BFLOAT16: 5 })],
  DEQUANTIZE: [
    float8(9),
    ...byType({ UINT4: 8, INT2: 7, INT4: 6, INT16: 3, FLOAT16: 3 }),
    [5, (s) => isOf(0, "INT8")(s) && perAxis(s.inputs[0])],
    ...only8,
  ],
  QUANTIZE: [
    [5, both("UINT4")],
    [4, both("INT4")],
    [3, (s) => perAxis(s.outputs[0])],
    [2, outputOf("INT16")],
  ],
  FLOOR_DIV: byType({ INT16: 3, INT8: 3, FLOAT32: 2 }),
  FLOOR_MOD: wide,
  L2_NORMALIZATION: [[2, outputOf("INT8")]],
  ABS: [[5, isOf(0, "INT32")], [3, all(isOf(0, "INT16"), quantized)], ...byType({ INT16: 4, INT8: 2, UINT8: 2 })],
  RELU: byType({ INT16: 3, INT8: 2, UINT8: 2 }),
  STRIDED_SLICE: [
    [8, has("offset")],
    [7, isOf(0, "UINT32")],
    [6, (s) => has("ellipsis_mask")(s) || has("new_axis_mask")(s)],
    [5, isOf(0, "STRING")],
    [4, rankOver(4)],
    ...byType({ BOOL: 3, INT8: 2 }),
  ],
  REVERSE_V2: [float8(4), ...byType({ INT8: 3, BOOL: 2 })],
  RESIZE_BILINEAR: resize(has("half_pixel_centers")),
  RESIZE_NEAREST_NEIGHBOR: resize((s) => has("half_pixel_centers")(s) || has("align_corners")(s)),
  MAXIMUM: extremes,
  MINIMUM: extremes,
  PACK: [float8(5), ...byType({ INT8: 2, INT16: 3, UINT32: 4 })],
  TILE: byType({ INT8: 3, STRING: 2 }),
  SQUEEZE: byType({ STRING: 2 }),
  SPACE_TO_BATCH_ND: blocks,
  BATCH_TO_SPACE_ND: blocks,
  ADD: [
    [6, isOf(0, "FLOAT16")],
    [5, (s) => isOf(0, "INT16")(s) && !quantized(s)],
    [4, isOf(0, "INT64")],
    [3, (s) => types("INT16")(s) && s.options["pot_scale_int16"] === false],
    ...only8,
  ],
  SUB: [
    [5, (s) => types("INT16")(s) && s.options["pot_scale_int16"] === false],
    [4, isOf(0, "INT64")],
    [3, broadcast5],
    ...only8,
  ],
  GATHER_ND: [float8(6), [5, isOf(0, "BOOL")], [4, isOf(1, "INT16")], ...byType({ INT16: 3, STRING: 2 })],
  DIV: [[2, broadcast5]],
  TANH: bytes,
  LOGISTIC: bytes,
  FILL: [float8(5, 1), ...byType({ FLOAT16: 4, INT8: 3, INT16: 3, BOOL: 2, STRING: 2 }, 1)],
  EQUAL: byType({ INT16: 5, STRING: 3, INT8: 2 }),
  NOT_EQUAL: byType({ INT16: 4, STRING: 3, INT8: 2 }),
  LEAKY_RELU: byType({ INT16: 2 }),
  RANGE: byType({ INT64: 2 }),
  BATCH_MATMUL: [...byType({ INT16: 3, INT8: 2 }), [4, all(hybrid(1), has("asymmetric_quantize_inputs"))]],
  PAD: padding,
  PADV2: padding,
  CONCATENATION: [float8(7), ...byType({ FLOAT16: 6, INT4: 5, UINT32: 4, INT16: 3, INT8: 2 })],
  SOFTMAX: byType({ FLOAT16: 4, INT16: 3, INT8: 2 }),
  MEAN: bytes,
  MIRROR_PAD: bytes,
  REDUCE_MAX: bytes,
  REDUCE_MIN: bytes,
  RELU6: bytes,
  RSQRT: bytes,
  RNN: hybridRnn,
  UNIDIRECTIONAL_SEQUENCE_RNN: hybridRnn,
  BIDIRECTIONAL_SEQUENCE_RNN: hybridRnn,
  BIDIRECTIONAL_SEQUENCE_LSTM: hybridRnn,
  UNIDIRECTIONAL_SEQUENCE_LSTM: [
    [5, all(isOf(0, "INT16"), isOf(2, "INT8"), outputOf("INT16"))],
    [4, has("diagonal_recurrent_tensors")],
    [3, all(hybrid(2), has("asymmetric_quantize_inputs"))],
    [2, hybrid(2)],
  ],
  ARG_MAX: byType({ BOOL: 3, INT8: 2 }),
  ARG_MIN: byType({ BOOL: 3, INT8: 2 }),
  SELECT: [[4, isOf(0, "UINT32")], [3, (s) => [0, 1, 2].some((i) => rankOf(s, i) === 5)], ...only8],
  SELECT_V2: byType({ UINT32: 2 }),
  LESS: compare,
  GREATER_EQUAL: compare,
  SPLIT_V: [float8(3), ...only8],
  SPACE_TO_DEPTH: only8,
  SUM: only8,
  LOG_SOFTMAX: only8,
  GREATER: only8,
  LESS_EQUAL: only8,
  SQUARED_DIFFERENCE: only8,
  DEPTH_TO_SPACE: only8,
  TOPK_V2: [[3, (s) => isOf(0, "INT16")(s) || isOf(1, "INT16")(s) || s.outputs[1]?.type === "INT16"], ...only8],
  EXP: wide,
  LOG: wide,
  REDUCE_PROD: wide,
  SQRT: wide,
  DYNAMIC_UPDATE_SLICE: [...byType({ BFLOAT16: 6, INT4: 5, INT16: 4, FLOAT16: 3 }), [2, isOf(2, "INT64")]],
  BROADCAST_TO: [float8(4), [3, isOf(0, "INT8", "INT16")], [2, () => true]],
  CAST: [
    [9, both(...FLOAT8)],
    [8, both("INT2", "UINT4")],
    [7, both("BFLOAT16")],
    [6, all(isOf(0, "INT4"), outputOf("FLOAT32"))],
    [5, both("FLOAT64", "FLOAT16")],
    [4, both("UINT16")],
    [3, both("INT8")],
    [2, both("UINT32")],
  ],
  WHERE: [[2, (s) => !isOf(0, "BOOL")(s)]],
  GELU: byType({ FLOAT16: 3, INT8: 2, UINT8: 2 }),
};

function isFull(s: Signature): boolean {
  return s.options["kernel_type"] !== "BASIC";
}

/** Whether a quantized product has a finer scale than its output, which the first kernels did not expect. */
function rescalesUp(s: Signature): boolean {
  const [a, b, c] = [s.inputs[0], s.inputs[1], s.outputs[0]].map((t) => scalesOf(t)[0] ?? 0);
  return a! * b! !== 0 && c !== 0 && (a! * b!) / c! >= 1;
}

/** The lowest version of a builtin operator that can have these types and options. */
export const lowestVersion = (op: string | number, signature: Signature): number =>
  (Object.hasOwn(rules, op) ? rules[op as BuiltinOperator] : undefined)?.find(([, when]) => when(signature))?.[0] ?? 1;

/** The version of an operator: as it says, or the lowest that fits. */
export function versionOf(op: TfliteOperator, tensors: readonly TfliteTensor[]): number {
  const at = (i: number) => (i < 0 ? undefined : tensors[i]);
  const options = (op.builtin_options ?? op.builtin_options_2)?.value ?? {};
  return (
    op.code.version ??
    lowestVersion(op.code.builtin, {
      inputs: op.inputs.map(at),
      outputs: op.outputs.map(at),
      options: options as Signature["options"],
    })
  );
}
