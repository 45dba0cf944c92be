import type { DType } from "@pare/core";

/** `TensorProto.DataType` by number. */
const dtypes: readonly (DType | undefined)[] = [
  undefined,
  "float32",
  "uint8",
  "int8",
  "uint16",
  "int16",
  "int32",
  "int64",
  "string",
  "bool",
  "float16",
  "float64",
  "uint32",
  "uint64",
  "complex64",
  "complex128",
  "bfloat16",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "uint4",
  "int4",
  "float4e2m1",
  "float8e8m0",
  "uint2",
  "int2",
];

/** The element type of a number of ONNX's `TensorProto.DataType`, as `Cast` has it in `to`. */
export const dtypeOf = (code: number | undefined): DType | undefined => dtypes[code ?? 0];

/** The number that ONNX gives an element type: `codeOf("float32")` is 1. */
export const codeOf = (dtype: DType): number => dtypes.indexOf(dtype);
