import {
  byteLengthOf,
  type DType,
  elementCount,
  isPareError,
  lazyTensor,
  type ResidentTensor,
  type SparseTensor,
  type Tensor,
  tensor,
} from "@pare/core";
import { stringsOf, stringTensor } from "@pare/core/strings";
import { codeOf, dtypeOf } from "@pare/ops/dtype-codes";
import { type Code, fail } from "./codes.ts";
import { isMemory } from "./gather.ts";
import type { Message, Payload } from "./proto.ts";
import { varintTensor } from "./varints.ts";

export type TensorProto = Message<"TensorProto">;

/** The field, beside `raw_data`, that holds elements of a type. */
function fieldOf(dtype: DType): "float_data" | "double_data" | "int32_data" | "int64_data" | "uint64_data" {
  switch (dtype) {
    case "float32":
    case "complex64":
      return "float_data";
    case "float64":
    case "complex128":
      return "double_data";
    case "int64":
      return "int64_data";
    case "uint32":
    case "uint64":
      return "uint64_data";
    default:
      return "int32_data";
  }
}
const FIELDS = ["raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data"] as const;

/** Element type and shape of a tensor, checked. */
export function shapeOf(p: TensorProto): { dtype: DType; shape: readonly number[]; byteLength: number } {
  const dtype = dtypeOf(p.data_type);
  if (!dtype) throw fail("onnx/dtype", `${p.data_type ?? 0} is no element type`);
  const shape = (p.dims ?? []).map((d) => {
    if (typeof d !== "number" || d < 0) throw fail("onnx/tensor-shape", `[${p.dims}] is no shape`);
    return d;
  });
  const byteLength = byteLengthOf(dtype, elementCount(shape));
  if (!Number.isSafeInteger(byteLength)) throw fail("onnx/tensor-shape", `a tensor of [${shape}] is too large`);
  if (p.segment) throw fail("onnx/tensor-data", "a tensor in segments cannot be read");
  return { dtype, shape, byteLength };
}

export const isExternal = (p: TensorProto): boolean => p.data_location === 1;

/**
 * A tensor from its message, in whatever field its data is (external data excepted); in memory where the data is.
 * @throws PareError `onnx/dtype`, `onnx/tensor-shape`, `onnx/tensor-size`, `onnx/tensor-data`
 */
export function readTensor(p: TensorProto): Tensor {
  const { dtype, shape, byteLength } = shapeOf(p);
  const filled = FIELDS.filter((f) => (p[f]?.byteLength ?? 0) > 0);
  if (dtype === "string") {
    if (filled.length > 0) throw wrongField(dtype, filled[0]!);
    const strings = p.string_data ?? [];
    if (strings.length !== elementCount(shape)) throw wrongSize(dtype, shape, elementCount(shape), strings.length);
    return stringTensor(shape, strings);
  }
  if (p.string_data?.length) throw wrongField(dtype, "string_data");
  const [field] = filled;
  if (filled.length > 1) throw fail("onnx/tensor-data", `a tensor has its data twice, in ${filled.join(" and ")}`);
  if (field && field !== "raw_data" && field !== fieldOf(dtype)) throw wrongField(dtype, field);
  const data = (field && p[field]) ?? new Uint8Array(0);
  if ((field !== "raw_data" && field?.startsWith("int32")) || field === "int64_data" || field === "uint64_data")
    return varintTensor(dtype, shape, data);
  if (data.byteLength !== byteLength) throw wrongSize(dtype, shape, byteLength, data.byteLength);
  return storedTensor(dtype, shape, data);
}

/** A tensor whose stored bytes are `data`, of the right length. */
export const storedTensor = (dtype: DType, shape: readonly number[], data: Payload): Tensor =>
  isMemory(data)
    ? tensor(dtype, shape, data)
    : lazyTensor({ dtype, shape, read: (range, signal) => data.read(range, signal) });

const wrongField = (dtype: DType, field: string) =>
  fail("onnx/tensor-data", `a ${dtype} tensor has its data in ${field}`);
const wrongSize = (dtype: DType, shape: readonly number[], needed: number, found: number) => {
  const unit = dtype === "string" ? "strings" : "bytes";
  return fail("onnx/tensor-size", `${dtype} [${shape}] takes ${needed} ${unit}, but there are ${found}`);
};

/** The message of a tensor; data that is not in memory stays where it is. */
export function writeTensor(t: Tensor, kept: TensorProto = {}): TensorProto {
  const base = {
    ...kept,
    ...(t.shape.length > 0 ? { dims: t.shape } : {}),
    data_type: codeOf(t.dtype),
  };
  if (t.dtype !== "string") return { ...base, raw_data: t.bytes ?? t };
  if (!t.bytes) throw fail("onnx/tensor-data", "a tensor of strings has to be in memory to be written");
  const strings = stringsOf(t as ResidentTensor<"string">);
  return strings.length > 0 ? { ...base, string_data: strings } : base;
}

/** What a tensor's message says beside type, shape and data. */
export function keptOf(p: TensorProto): TensorProto {
  const { dims, data_type, segment, external_data, data_location, string_data, ...rest } = p;
  const { raw_data, float_data, double_data, int32_data, int64_data, uint64_data, ...kept } = rest;
  return kept;
}

/** Adds to a failure where in the model it happened. */
export function placed<T>(where: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const d = isPareError(error) ? error.diagnostics[0] : undefined;
    if (!d) throw error;
    const { code, message, hint, location } = d;
    throw fail(code as Code, `${where}: ${message}`, {
      ...(hint ? { hint } : {}),
      ...(location ? { location } : {}),
      cause: error,
    });
  }
}

export const sparseShape = (s: Message<"SparseTensorProto">): SparseTensor["shape"] =>
  (s.dims ?? []).map((d) => {
    if (typeof d !== "number" || d < 0) throw fail("onnx/tensor-shape", `[${s.dims}] is no shape`);
    return d;
  });
