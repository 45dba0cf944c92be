import { type BuiltinOperator, type OptionsOf, optionFields } from "./options.ts";
import type { Payload } from "./payload.ts";
import type { Enum, Tables } from "./schema.gen.ts";

/**
 * A value of a graph. `data` makes it a constant, also where it has no bytes; equal data is stored once. `shape_signature` has -1 for dimensions that
 * are not known, where `shape` has 1. The rest is the schema's: `quantization`, `sparsity`, `is_variable`, ….
 */
export interface TfliteTensor extends Omit<Tables["Tensor"], "buffer" | "shape" | "type" | "name"> {
  readonly name: string;
  readonly type: Enum<"TensorType">;
  readonly shape: readonly number[];
  readonly data?: Payload | undefined;
}

/** What an operator is: a builtin one, or a custom one by its name. */
export interface TfliteCode {
  readonly builtin: Enum<"BuiltinOperator">;
  /** Of `CUSTOM`. */
  readonly custom?: string | undefined;
  /** By default the lowest that fits the operator's options and types. */
  readonly version?: number | undefined;
}

/** One operation; `inputs` and `outputs` are indices of tensors, -1 an optional input left out. */
export interface TfliteOperator
  extends Omit<
    Tables["Operator"],
    "opcode_index" | "inputs" | "outputs" | "large_custom_options_offset" | "large_custom_options_size"
  > {
  readonly code: TfliteCode;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A graph: the first of a model is the main one, others are branches and bodies that operators name by their index. */
export interface TfliteGraph extends Pick<Tables["SubGraph"], "debug_metadata_index"> {
  readonly name?: string | undefined;
  readonly tensors: readonly TfliteTensor[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** In the order in which they run. */
  readonly operators: readonly TfliteOperator[];
}

/** Names for the inputs and outputs of a graph, in the order in which callers see them. */
export interface TfliteSignature {
  readonly key: string;
  /** Index of its graph. */
  readonly graph: number;
  readonly inputs: readonly TfliteEnd[];
  readonly outputs: readonly TfliteEnd[];
}

/** A name and the index of the tensor that it means. */
export interface TfliteEnd {
  readonly name: string;
  readonly tensor: number;
}

/** An entry of metadata: a name that may come several times, and bytes. */
export interface TfliteMetadata {
  readonly name: string;
  readonly data?: Payload | undefined;
}

/**
 * A TFLite model, with constants in the tensors that have them and operators that say what they are: what the tables of
 * buffers and operator codes are made from. `min_runtime_version` is added to `metadata` when the model is written.
 */
export interface TfliteModel
  extends Pick<Tables["Model"], "metadata_buffer" | "external_buffer_groups" | "external_buffers"> {
  readonly description?: string | undefined;
  readonly graphs: readonly TfliteGraph[];
  readonly signatures: readonly TfliteSignature[];
  readonly metadata: readonly TfliteMetadata[];
  /** What stands behind the model in its file, such as a zip archive of labels. */
  readonly appended?: Payload | undefined;
}

/** A builtin operator. @example operator("CONV_2D", [x, w, b], [y], { padding: "SAME", stride_w: 1, stride_h: 1 }) */
export const operator = <Op extends BuiltinOperator>(
  op: Op,
  inputs: readonly number[],
  outputs: readonly number[],
  options: OptionsOf<Op> = {} as OptionsOf<Op>,
): TfliteOperator => ({ code: { builtin: op }, inputs, outputs, ...optionFields(op, options) });
