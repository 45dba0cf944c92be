import { byteLengthOf, type DType, elementCount } from "@pare/core";
import type { Enum } from "./schema.gen.ts";

type TensorType = Exclude<Enum<"TensorType">, number>;

const dtypes = {
  FLOAT32: "float32",
  FLOAT16: "float16",
  INT32: "int32",
  UINT8: "uint8",
  INT64: "int64",
  STRING: "string",
  BOOL: "bool",
  INT16: "int16",
  COMPLEX64: "complex64",
  INT8: "int8",
  FLOAT64: "float64",
  COMPLEX128: "complex128",
  UINT64: "uint64",
  UINT32: "uint32",
  UINT16: "uint16",
  INT4: "int4",
  BFLOAT16: "bfloat16",
  INT2: "int2",
  UINT4: "uint4",
  FLOAT8_E4M3FN: "float8e4m3fn",
  FLOAT8_E5M2: "float8e5m2",
} as const satisfies Partial<Record<TensorType, DType>>;

const types = new Map<DType, TensorType>(
  Object.entries(dtypes).map(([type, dtype]) => [dtype, type as keyof typeof dtypes]),
);

/** The element type of a tensor; undefined for handles of resources and variants, and for what this version does not know. */
export const dtypeOf = (type: Enum<"TensorType">): DType | undefined =>
  Object.hasOwn(dtypes, type) ? dtypes[type as keyof typeof dtypes] : undefined;

/** What TFLite calls an element type; undefined where it has none. */
export const tensorTypeOf = (dtype: DType): TensorType | undefined => types.get(dtype);

/** Bytes that the elements of a shape take, packed as TFLite and Pare do alike; undefined for those of no fixed size. */
export function bytesOfShape(type: Enum<"TensorType">, shape: readonly number[]): number | undefined {
  const dtype = dtypeOf(type);
  return dtype === undefined || dtype === "string" ? undefined : byteLengthOf(dtype, elementCount(shape));
}
