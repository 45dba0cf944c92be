import { eachBlock, simd } from "./simd.ts";

/** The elements, those whose magnitude is below `limit` as 0. NaN is kept: what is broken stays visible. */
export function zeroBelow(data: Float32Array, limit: number, w = simd()): Float32Array {
  const out = new Float32Array(data.length);
  if (w) {
    const least = atLeast(limit);
    eachBlock(w, data, (block, at) => {
      w.zeroBelow(block.byteLength, least);
      out.set(w.x.subarray(0, block.length), at);
    });
  } else
    for (let i = 0; i < data.length; i++) {
      const v = data[i]!;
      out[i] = Math.abs(v) < limit ? 0 : v;
    }
  return out;
}

/** The least float32 that is not below a positive number: just as many float32 are below the one as below the other. */
function atLeast(limit: number): number {
  const f = Float32Array.of(limit);
  if (f[0]! < limit) new Uint32Array(f.buffer)[0]!++;
  return f[0]!;
}

/**
 * Rounds float32 to float16 bits: to nearest, ties to even; beyond the range to infinity; NaN stays NaN.
 * (IEEE 754-2019, binary16; subnormals by the hardware's own rounding of `|x| + 0.5`.)
 */
export function toHalf(data: Float32Array, out: Uint16Array = new Uint16Array(data.length), w = simd()): Uint16Array {
  if (w) {
    const halves = new Uint16Array(w.memory.buffer, w.y);
    eachBlock(w, data, (block, at) => {
      w.toHalf(block.byteLength);
      out.set(halves.subarray(0, block.length), at);
    });
  } else plainToHalf(data, out);
  return out;
}

function plainToHalf(data: Float32Array, out: Uint16Array): void {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const shifted = new Float32Array(1);
  const shiftedBits = new Uint32Array(shifted.buffer);
  for (let i = 0; i < bits.length; i++) {
    const u = bits[i]!;
    const a = u & 0x7fffffff;
    let half: number;
    if (a >= 0x38800000 && a < 0x47800000) half = (a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13;
    else if (a < 0x38800000) {
      shifted[0] = Math.abs(data[i]!) + 0.5;
      half = shiftedBits[0]! - 0x3f000000;
    } else half = a > 0x7f800000 ? 0x7e00 : 0x7c00;
    out[i] = ((u >>> 16) & 0x8000) | half;
  }
}
