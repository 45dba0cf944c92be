/**
 * Rounds float32 to float16 bits: to nearest, ties to even; beyond the range to infinity; NaN stays NaN.
 * (IEEE 754-2019, binary16; subnormals by the hardware's own rounding of `|x| + 0.5`.)
 */
export function float32ToFloat16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const u = bits[i]!;
    const a = u & 0x7fffffff;
    let half: number;
    if (a >= 0x38800000 && a < 0x47800000) half = (a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13;
    else if (a < 0x38800000) {
      shifted[0] = Math.abs(values[i]!) + 0.5;
      half = shiftedBits[0]! - 0x3f000000;
    } else half = a > 0x7f800000 ? 0x7e00 : 0x7c00;
    out[i] = ((u >>> 16) & 0x8000) | half;
  }
  return out;
}

const shifted = new Float32Array(1);
const shiftedBits = new Uint32Array(shifted.buffer);

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
