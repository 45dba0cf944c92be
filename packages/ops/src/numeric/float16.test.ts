import { describe, expect, test } from "vitest";
import { float16ToFloat32, float32ToFloat16 } from "./float16.ts";

/** The value of float16 bits by the definition of IEEE 754. */
function defined(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

describe("float16", () => {
  test("every pattern means what the standard says", () => {
    const got = float16ToFloat32(all);
    expect(Array.from(all).filter((i) => !Object.is(got[i], defined(i)))).toEqual([]);
  });

  test("every number comes back as the pattern it was, NaN as a NaN", () => {
    const back = float32ToFloat16(float16ToFloat32(all));
    const right = (i: number) => (Number.isNaN(defined(i)) ? (back[i]! & 0x7fff) > 0x7c00 : back[i] === i);
    expect(Array.from(all).filter((i) => !right(i))).toEqual([]);
  });

  test("between neighbours it rounds to the nearer, in the middle to the even one", () => {
    const wrong: number[] = [];
    for (let i = 0; i < 0x7bff; i++) {
      const [low, high] = [defined(i), defined(i + 1)];
      const middle = (low + high) / 2;
      const even = i % 2 === 0 ? i : i + 1;
      const step = Math.fround(middle * (1 + 2 ** -22));
      const values = Float32Array.of(middle, Math.max(step, middle), -middle, low + (high - low) * 0.25);
      const expected = [even, step > middle ? i + 1 : even, even | 0x8000, i];
      if (float32ToFloat16(values).some((bits, k) => bits !== expected[k])) wrong.push(i);
    }
    expect(wrong).toEqual([]);
  });

  test("what is beyond the largest by half a step or more is infinite", () => {
    const got = float32ToFloat16(Float32Array.of(65504, 65519.996, 65520, 65536, 3e38, -65520));
    expect([...got]).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00]);
  });
});
