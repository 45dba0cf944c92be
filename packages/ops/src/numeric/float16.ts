import { toHalf } from "../kernels/maps.ts";

/**
 * Rounds float32 to float16 bits: to nearest, ties to even; beyond the range to infinity; NaN stays NaN.
 * (IEEE 754-2019, binary16.)
 */
export const float32ToFloat16 = (values: Float32Array, out?: Uint16Array): Uint16Array => toHalf(values, out);

/** The numbers that float16 bits stand for; exact. */
export function float16ToFloat32(
  halves: Uint16Array,
  out: Float32Array = new Float32Array(halves.length),
): Float32Array {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i]!;
    const sign = (h & 0x8000) << 16;
    const a = h & 0x7fff;
    if (a >= 0x400 && a < 0x7c00) bits[i] = sign | ((a << 13) + 0x38000000);
    else if (a >= 0x7c00) bits[i] = sign | 0x7f800000 | ((a & 0x3ff) << 13);
    else out[i] = (sign ? -a : a) * 2 ** -24 || (sign ? -0 : 0);
  }
  return out;
}
