/** Element types of tensors: those of ONNX 1.22, in numpy's spelling. */
export const dtypeBits = {
  float32: 32,
  float64: 64,
  float16: 16,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  float8e8m0: 8,
  float4e2m1: 4,
  int8: 8,
  int16: 16,
  int32: 32,
  int64: 64,
  uint8: 8,
  uint16: 16,
  uint32: 32,
  uint64: 64,
  int4: 4,
  uint4: 4,
  int2: 2,
  uint2: 2,
  bool: 8,
  complex64: 64,
  complex128: 128,
  /** Elements of any length; see `stringsOf` of `@pare/core/strings`. */
  string: 0,
} as const;

export type DType = keyof typeof dtypeBits;

/**
 * The typed arrays that hold stored elements. Formats that JavaScript has no array for are seen as their bits:
 * float16 and bfloat16 as `Uint16Array`, 8-bit floats as `Uint8Array`; elements below a byte stay packed, the first
 * in the low bits; complex numbers are pairs.
 */
export type StorageArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

const wide = {
  float32: Float32Array,
  complex64: Float32Array,
  float64: Float64Array,
  complex128: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} satisfies Record<keyof Wide, unknown>;

interface Wide {
  float32: Float32Array;
  complex64: Float32Array;
  float64: Float64Array;
  complex128: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
}
/** The typed array in which elements of `D` are stored. */
export type StorageOf<D extends DType> = D extends keyof Wide ? Wide[D] : Uint8Array;

/** The constructor of that array. */
export const storageType = (dtype: DType): Constructor =>
  (dtype in wide ? wide[dtype as keyof Wide] : Uint8Array) as Constructor;

interface Constructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset: number, length: number): StorageArray;
  from(items: readonly (number | bigint)[]): StorageArray;
}

/** Sees bytes as stored elements of `dtype`. No copy is made unless the bytes are not aligned. Little endian. */
export function storageView<D extends DType>(dtype: D, bytes: Uint8Array): StorageOf<D> {
  const Type = storageType(dtype);
  const size = Type.BYTES_PER_ELEMENT;
  // Not slice: that of a Node Buffer does not copy.
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new Type(buffer, byteOffset, Math.floor(byteLength / size)) as StorageOf<D>;
}

/** Sees the bytes of any view. */
export const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);

/** Whether a number counts something: exact, and not negative. */
export const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

/** Number of elements of a shape; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Bytes that `count` elements take; elements below a byte are packed without gaps, the last byte padded. */
export const byteLengthOf = (dtype: DType, count: number): number => Math.ceil((count * dtypeBits[dtype]) / 8);

export const isFloat = (dtype: DType): boolean => /^b?float/.test(dtype);
