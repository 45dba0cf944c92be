import { type DType, failure } from "@pare/core";

/** Element types by their number in ONNX's `TensorProto.DataType`, by which attributes such as Cast's `to` name them. */
const codes: readonly (DType | undefined)[] = [
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

/** The number of an element type: `codeOf("float32")` is 1. */
export const codeOf = (dtype: DType): number => codes.indexOf(dtype);

/** The element type of a number, or undefined where it names none. */
export const dtypeOf = (code: number | undefined): DType | undefined => codes[code ?? 0];

/** The same for a number that must name one. @throws PareError `ops/dtype-code` */
export function dtypeOfCode(code: number): DType {
  const found = codes[code];
  if (!found) throw failure("ops/dtype-code", `${code} is not the number of an element type`);
  return found;
}
