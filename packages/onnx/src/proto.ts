import type { ByteSource, Int } from "@pare/core";

/** Bytes of a file that were not loaded. */
export type Stored = Pick<ByteSource, "byteLength" | "read">;
/** Bytes in memory, or in the file. */
export type Payload = Uint8Array | Stored;

/**
 * The messages of ONNX 1.22 (onnx-ml.proto and onnx-data.proto): each field's number and type, ascending. `[]` is
 * repeated, `|` a member of the message's oneof. `raw`, `floats`, `doubles` and `varints` are the data of a tensor as
 * its encoded bytes (the last three as the payload of a packed field), which may stay in the file.
 */
export const proto = {
  ModelProto: {
    ir_version: "1 int64",
    producer_name: "2 string",
    producer_version: "3 string",
    domain: "4 string",
    model_version: "5 int64",
    doc_string: "6 string",
    graph: "7 GraphProto",
    opset_import: "8 OperatorSetIdProto[]",
    metadata_props: "14 StringStringEntryProto[]",
    training_info: "20 TrainingInfoProto[]",
    functions: "25 FunctionProto[]",
    configuration: "26 DeviceConfigurationProto[]",
  },
  GraphProto: {
    node: "1 NodeProto[]",
    name: "2 string",
    initializer: "5 TensorProto[]",
    doc_string: "10 string",
    input: "11 ValueInfoProto[]",
    output: "12 ValueInfoProto[]",
    value_info: "13 ValueInfoProto[]",
    quantization_annotation: "14 TensorAnnotation[]",
    sparse_initializer: "15 SparseTensorProto[]",
    metadata_props: "16 StringStringEntryProto[]",
  },
  NodeProto: {
    input: "1 string[]",
    output: "2 string[]",
    name: "3 string",
    op_type: "4 string",
    attribute: "5 AttributeProto[]",
    doc_string: "6 string",
    domain: "7 string",
    overload: "8 string",
    metadata_props: "9 StringStringEntryProto[]",
    device_configurations: "10 NodeDeviceConfigurationProto[]",
  },
  AttributeProto: {
    name: "1 string",
    f: "2 float",
    i: "3 int64",
    s: "4 bytes",
    t: "5 TensorProto",
    g: "6 GraphProto",
    floats: "7 float[]",
    ints: "8 int64[]",
    strings: "9 bytes[]",
    tensors: "10 TensorProto[]",
    graphs: "11 GraphProto[]",
    doc_string: "13 string",
    tp: "14 TypeProto",
    type_protos: "15 TypeProto[]",
    type: "20 int32",
    ref_attr_name: "21 string",
    sparse_tensor: "22 SparseTensorProto",
    sparse_tensors: "23 SparseTensorProto[]",
  },
  TensorProto: {
    dims: "1 int64[]",
    data_type: "2 int32",
    segment: "3 Segment",
    float_data: "4 floats",
    int32_data: "5 varints",
    string_data: "6 bytes[]",
    int64_data: "7 varints",
    name: "8 string",
    raw_data: "9 raw",
    double_data: "10 doubles",
    uint64_data: "11 varints",
    doc_string: "12 string",
    external_data: "13 StringStringEntryProto[]",
    data_location: "14 int32",
    metadata_props: "16 StringStringEntryProto[]",
  },
  Segment: { begin: "1 int64", end: "2 int64" },
  SparseTensorProto: { values: "1 TensorProto", indices: "2 TensorProto", dims: "3 int64[]" },
  ValueInfoProto: {
    name: "1 string",
    type: "2 TypeProto",
    doc_string: "3 string",
    metadata_props: "4 StringStringEntryProto[]",
  },
  TypeProto: {
    tensor_type: "1 TensorType |",
    sequence_type: "4 ElementType |",
    map_type: "5 MapType |",
    denotation: "6 string",
    opaque_type: "7 OpaqueType |",
    sparse_tensor_type: "8 TensorType |",
    optional_type: "9 ElementType |",
  },
  /** `TypeProto.Tensor` and `TypeProto.SparseTensor`. */
  TensorType: { elem_type: "1 int32", shape: "2 TensorShapeProto" },
  /** `TypeProto.Sequence` and `TypeProto.Optional`. */
  ElementType: { elem_type: "1 TypeProto" },
  MapType: { key_type: "1 int32", value_type: "2 TypeProto" },
  OpaqueType: { domain: "1 string", name: "2 string" },
  TensorShapeProto: { dim: "1 Dimension[]" },
  Dimension: { dim_value: "1 int64 |", dim_param: "2 string |", denotation: "3 string" },
  TensorAnnotation: { tensor_name: "1 string", quant_parameter_tensor_names: "2 StringStringEntryProto[]" },
  StringStringEntryProto: { key: "1 string", value: "2 string" },
  OperatorSetIdProto: { domain: "1 string", version: "2 int64" },
  TrainingInfoProto: {
    initialization: "1 GraphProto",
    algorithm: "2 GraphProto",
    initialization_binding: "3 StringStringEntryProto[]",
    update_binding: "4 StringStringEntryProto[]",
  },
  FunctionProto: {
    name: "1 string",
    input: "4 string[]",
    output: "5 string[]",
    attribute: "6 string[]",
    node: "7 NodeProto[]",
    doc_string: "8 string",
    opset_import: "9 OperatorSetIdProto[]",
    domain: "10 string",
    attribute_proto: "11 AttributeProto[]",
    value_info: "12 ValueInfoProto[]",
    overload: "13 string",
    metadata_props: "14 StringStringEntryProto[]",
  },
  DeviceConfigurationProto: { name: "1 string", num_devices: "2 int32", device: "3 string[]" },
  NodeDeviceConfigurationProto: {
    configuration_id: "1 string",
    sharding_spec: "2 ShardingSpecProto[]",
    pipeline_stage: "3 int32",
  },
  ShardingSpecProto: {
    tensor_name: "1 string",
    device: "2 int64[]",
    index_to_device_group_map: "3 IntIntListEntryProto[]",
    sharded_dim: "4 ShardedDimProto[]",
  },
  IntIntListEntryProto: { key: "1 int64", value: "2 int64[]" },
  ShardedDimProto: { axis: "1 int64", simple_sharding: "2 SimpleShardedDimProto[]" },
  SimpleShardedDimProto: { dim_value: "1 int64 |", dim_param: "2 string |", num_shards: "3 int64" },
  SequenceProto: {
    name: "1 string",
    elem_type: "2 int32",
    tensor_values: "3 TensorProto[]",
    sparse_tensor_values: "4 SparseTensorProto[]",
    sequence_values: "5 SequenceProto[]",
    map_values: "6 MapProto[]",
    optional_values: "7 OptionalProto[]",
  },
  MapProto: {
    name: "1 string",
    key_type: "2 int32",
    keys: "3 int64[]",
    string_keys: "4 bytes[]",
    values: "5 SequenceProto",
  },
  OptionalProto: {
    name: "1 string",
    elem_type: "2 int32",
    tensor_value: "3 TensorProto",
    sparse_tensor_value: "4 SparseTensorProto",
    sequence_value: "5 SequenceProto",
    map_value: "6 MapProto",
    optional_value: "7 OptionalProto",
  },
} as const satisfies Record<string, Record<string, string>>;

type Proto = typeof proto;
export type MessageName = keyof Proto;

interface Scalars {
  int32: number;
  /** A number where that is exact. */
  int64: Int;
  /** A number; a NaN with a payload, which a number does not keep, is an array of one element. */
  float: number | Float32Array;
  /** UTF-8; a byte that is none is the lone surrogate U+DC00 + byte, and written back as that byte. */
  string: string;
  bytes: Uint8Array;
  raw: Payload;
  floats: Payload;
  doubles: Payload;
  varints: Payload;
}
export type ScalarType = keyof Scalars;

type ValueOf<T> = T extends ScalarType ? Scalars[T] : T extends MessageName ? Message<T> : never;
type FieldOf<S> = S extends `${number} ${infer T}`
  ? T extends "float[]"
    ? Float32Array
    : T extends `${infer U}[]`
      ? readonly ValueOf<U>[]
      : T extends `${infer U} |`
        ? ValueOf<U>
        : ValueOf<T>
  : never;

/**
 * A message as plain data under the names of the schema. A field that the file does not have is absent; `unknown` holds
 * the fields that ONNX 1.22 does not define, as they were encoded.
 */
export type Message<N extends MessageName> = { readonly [K in keyof Proto[N]]?: FieldOf<Proto[N][K]> } & {
  readonly unknown?: Uint8Array;
};

/** A model file as it is: what is read is written back field for field equal. */
export type OnnxDocument = Message<"ModelProto">;

/** A field as the decoder and encoder need it. */
export interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: ScalarType | "message";
  readonly repeated: boolean;
  readonly plan?: Plan;
  /** The other members of its oneof. */
  readonly rivals?: readonly string[];
}
export interface Plan {
  readonly name: MessageName;
  /** By number, with holes. */
  readonly fields: readonly (Field | undefined)[];
  /** Fields that are gathered from pieces. */
  readonly gathered: readonly string[];
}

const plans = new Map<string, Plan>();

/** The fields of a message, from the table above. */
export function planOf(name: MessageName): Plan {
  const known = plans.get(name);
  if (known) return known;
  const fields: Field[] = [];
  const gathered: string[] = ["unknown"];
  const plan: Plan = { name, fields, gathered };
  plans.set(name, plan);
  const entries = Object.entries(proto[name] as Record<string, string>);
  const oneof = entries.filter(([, spec]) => spec.endsWith("|")).map(([field]) => field);
  for (const [field, spec] of entries) {
    const [number, kind = ""] = spec.split(" ");
    const base = kind.replace("[]", "");
    const isMessage = base in proto;
    const type = isMessage ? "message" : (base as ScalarType);
    if (/^(floats|doubles|varints|float\[\])$/.test(kind)) gathered.push(field);
    fields[Number(number)] = {
      name: field,
      number: Number(number),
      type,
      repeated: kind.endsWith("[]"),
      ...(isMessage ? { plan: planOf(base as MessageName) } : {}),
      ...(oneof.includes(field) ? { rivals: oneof.filter((f) => f !== field) } : {}),
    };
  }
  return plan;
}
