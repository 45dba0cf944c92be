import { describe, expect, test } from "vitest";
import { bfloat16ToFloat32, float32ToBfloat16 } from "./bfloat16.ts";
import { bigIntsOf, numbersOf, tensorOf } from "./convert.ts";
import { float16ToFloat32, float32ToFloat16 } from "./float16.ts";
import {
  decodeE8m0,
  decodeFloat,
  encodeE8m0,
  encodeFloat,
  floatFormats,
  roundEven,
  type SmallFloat,
} from "./formats.ts";
import { pack, unpack } from "./packed.ts";

const names = Object.keys(floatFormats) as SmallFloat[];
const width = (name: SmallFloat) => 1 + floatFormats[name].exponent + floatFormats[name].mantissa;
const patterns = (name: SmallFloat) => Array.from({ length: 1 << width(name) }, (_, bits) => bits);

describe.each(names)("%s", (name) => {
  test("every pattern comes back as it was", () => {
    const wrong = patterns(name).filter((bits) => {
      const x = decodeFloat(name, bits);
      const back = encodeFloat(name, x, false);
      return Number.isNaN(x) ? !Number.isNaN(decodeFloat(name, back)) : back !== bits;
    });
    expect(wrong).toEqual([]);
  });

  test("between neighbours it rounds to the nearer, in the middle to the even one", () => {
    const sign = 1 << (width(name) - 1);
    const largest = encodeFloat(name, floatFormats[name].max);
    const wrong: number[] = [];
    for (let bits = 0; bits < largest; bits++) {
      const [low, high] = [decodeFloat(name, bits), decodeFloat(name, bits + 1)];
      const middle = (low + high) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const right =
        encodeFloat(name, middle) === even &&
        encodeFloat(name, middle * (1 + 2 ** -50)) === bits + 1 &&
        encodeFloat(name, middle * (1 - 2 ** -50)) === bits &&
        (even === 0 || encodeFloat(name, -middle) === (even | sign));
      if (!right) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });
});

test("numbers of the specifications' tables", () => {
  expect(decodeFloat("float8e4m3fn", 0x7e)).toBe(448);
  expect(decodeFloat("float8e4m3fn", 0x01)).toBe(2 ** -9);
  expect(decodeFloat("float8e4m3fnuz", 0x7f)).toBe(240);
  expect(decodeFloat("float8e4m3fnuz", 0x80)).toBeNaN();
  expect(decodeFloat("float8e5m2", 0x7b)).toBe(57344);
  expect(decodeFloat("float8e5m2", 0xfc)).toBe(Number.NEGATIVE_INFINITY);
  expect(decodeFloat("float8e5m2fnuz", 0x01)).toBe(2 ** -17);
  expect(
    patterns("float4e2m1")
      .slice(0, 8)
      .map((b) => decodeFloat("float4e2m1", b)),
  ).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
});

test.each([
  // dtype, saturating and not: for 1e6, infinity (ONNX, Cast: table of float8)
  ["float8e4m3fn", 0x7e, 0x7f],
  ["float8e4m3fnuz", 0x7f, 0x80],
  ["float8e5m2", 0x7b, 0x7c],
  ["float8e5m2fnuz", 0x7f, 0x80],
] as const)("beyond the range %s saturates on request", (name, largest, otherwise) => {
  for (const x of [1e6, Number.POSITIVE_INFINITY]) {
    expect(encodeFloat(name, x, true)).toBe(largest);
    expect(encodeFloat(name, x, false)).toBe(otherwise);
  }
});

test("float16 from float64 rounds once", () => {
  // In float32 this would be a tie, and go to the even 1.
  expect(encodeFloat("float16", 1 + 2 ** -11 + 2 ** -40)).toBe(0x3c01);
});

test("the bulk conversions agree with the definition", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const halves = float16ToFloat32(all);
  const brains = bfloat16ToFloat32(all);
  const same = (a: number, b: number) => Object.is(a, b);
  expect(Array.from(all).filter((i) => !same(halves[i]!, decodeFloat("float16", i)))).toEqual([]);
  expect(Array.from(all).filter((i) => !same(brains[i]!, decodeFloat("bfloat16", i)))).toEqual([]);
  const random = new Float32Array(new Uint32Array(50_000).map((_, i) => Math.imul(i + 1, 2654435761)).buffer);
  const toHalf = float32ToFloat16(random);
  const toBrain = float32ToBfloat16(random);
  const wrong = random.filter(
    (x, i) =>
      !Number.isNaN(x) && (toHalf[i] !== encodeFloat("float16", x) || toBrain[i] !== encodeFloat("bfloat16", x)),
  );
  expect(wrong).toHaveLength(0);
  expect(decodeFloat("bfloat16", float32ToBfloat16(Float32Array.of(Number.NaN))[0]!)).toBeNaN();
});

test("float8e8m0 is powers of two", () => {
  for (let bits = 0; bits < 255; bits++) expect(encodeE8m0(decodeE8m0(bits))).toBe(bits);
  expect(decodeE8m0(255)).toBeNaN();
  expect([encodeE8m0(3, true, "up"), encodeE8m0(3, true, "down"), encodeE8m0(2.9, true, "nearest")]).toEqual([
    129, 128, 128,
  ]);
});

test("elements below a byte are packed from the low bits", () => {
  expect([...pack("int4", [1, -1, -8])]).toEqual([0xf1, 0x08]);
  expect([...unpack("int4", Uint8Array.of(0xf1, 0x08), 3)]).toEqual([1, -1, -8]);
  expect([...unpack("uint4", Uint8Array.of(0xf1, 0x08), 3)]).toEqual([1, 15, 8]);
  expect([...unpack("int2", pack("int2", [-2, -1, 0, 1, 1]), 5)]).toEqual([-2, -1, 0, 1, 1]);
  expect([...pack("uint2", [0, 1, 2, 3])]).toEqual([0b11100100]);
});

test("tensors from numbers and back", () => {
  const numbers = [-3, 0.5, 1, 2, 0, -1];
  for (const dtype of ["float64", "float32", "float16", "bfloat16", "float8e5m2", "float4e2m1"] as const)
    expect([...numbersOf(tensorOf(dtype, [2, 3], numbers))]).toEqual(numbers);
  for (const dtype of ["int64", "int32", "int16", "int8", "int4"] as const)
    expect([...numbersOf(tensorOf(dtype, [3], [-8, 7, 3]))]).toEqual([-8, 7, 3]);
  expect(tensorOf("complex64", [1], [1, 2]).byteLength).toBe(8);
  const large = tensorOf("int64", [1], [2 ** 53]);
  expect(bigIntsOf(large as never)[0]).toBe(2n ** 53n);
});

test("halves are rounded to even", () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4999, 3.5001].map(roundEven)).toEqual([0, 2, 2, -0, -2, 2, 4]);
});
