export { bfloat16ToFloat32, float32ToBfloat16 } from "./numeric/bfloat16.ts";
export { bigIntsOf, integerRange, isInteger, numbersOf, tensorOf } from "./numeric/convert.ts";
export { Fingerprint } from "./numeric/fingerprint.ts";
export { float16ToFloat32, float32ToFloat16 } from "./numeric/float16.ts";
export {
  decodeE8m0,
  decodeFloat,
  encodeE8m0,
  encodeFloat,
  exponentOf,
  type FloatFormat,
  floatFormats,
  isSmallFloat,
  roundEven,
  type SmallFloat,
} from "./numeric/formats.ts";
export { isPacked, type Packed, pack, unpack } from "./numeric/packed.ts";
export { permutation, seeded } from "./numeric/random.ts";
