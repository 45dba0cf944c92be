import type { DType } from "@pare/core";

/** How a floating-point format stores a number: sign, `exponent` bits, `mantissa` bits. */
export interface FloatFormat {
  readonly exponent: number;
  readonly mantissa: number;
  readonly bias: number;
  /** Largest finite number. */
  readonly max: number;
  /** Bits of infinity without the sign; missing where the format has none. */
  readonly infinity?: number;
  /** Bits of NaN; missing where the format has none. */
  readonly nan?: number;
  /** Zero has no sign (its bits are NaN's). */
  readonly unsignedZero?: true;
}

/**
 * The formats below 32 bits, by IEEE 754-2019 (float16), the OCP 8-bit and MX specifications, and ONNX 1.22's pages on
 * float8 and float4. float8e8m0 is not here: it has neither sign nor zero, see {@link decodeE8m0}.
 */
export const floatFormats = {
  float16: { exponent: 5, mantissa: 10, bias: 15, max: 65504, infinity: 0x7c00, nan: 0x7e00 },
  bfloat16: { exponent: 8, mantissa: 7, bias: 127, max: 2 ** 127 * (2 - 2 ** -7), infinity: 0x7f80, nan: 0x7fc0 },
  float8e4m3fn: { exponent: 4, mantissa: 3, bias: 7, max: 448, nan: 0x7f },
  float8e4m3fnuz: { exponent: 4, mantissa: 3, bias: 8, max: 240, nan: 0x80, unsignedZero: true },
  float8e5m2: { exponent: 5, mantissa: 2, bias: 15, max: 57344, infinity: 0x7c, nan: 0x7e },
  float8e5m2fnuz: { exponent: 5, mantissa: 2, bias: 16, max: 57344, nan: 0x80, unsignedZero: true },
  float4e2m1: { exponent: 2, mantissa: 1, bias: 1, max: 6 },
} as const satisfies Partial<Record<DType, FloatFormat>>;

export type SmallFloat = keyof typeof floatFormats;

export const isSmallFloat = (dtype: DType): dtype is SmallFloat => dtype in floatFormats;

/** Rounds to the nearest integer, ties to even. */
export function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  // Beyond 2^52 every number is an integer, and `rest` is 0.
  const up = rest > 0.5 || (rest === 0.5 && down % 2 !== 0);
  const rounded = up ? down + 1 : down;
  return rounded === 0 && (x < 0 || Object.is(x, -0)) ? -0 : rounded;
}

/** The number that stored bits stand for; exact. */
export function decodeFloat(dtype: SmallFloat, bits: number): number {
  const f: FloatFormat = floatFormats[dtype];
  const signBit = 1 << (f.exponent + f.mantissa);
  if (f.unsignedZero && bits === f.nan) return Number.NaN;
  const sign = bits & signBit ? -1 : 1;
  const a = bits & (signBit - 1);
  if (f.infinity !== undefined && a >= f.infinity)
    return a === f.infinity ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (a === f.nan) return Number.NaN;
  const e = a >>> f.mantissa;
  const m = a & ((1 << f.mantissa) - 1);
  return e === 0
    ? sign * m * 2 ** (1 - f.bias - f.mantissa)
    : sign * (m + 2 ** f.mantissa) * 2 ** (e - f.bias - f.mantissa);
}

/**
 * Rounds a number once, to nearest, ties to even, and gives the bits. What is too large becomes the largest finite
 * number when `saturate`, otherwise infinity, or NaN where the format has none. float4e2m1 always saturates, and
 * has no NaN: it becomes -0, as in the recorded outputs of ONNX's tests. (ONNX's Cast; for float16 and bfloat16, as in IEEE 754, `saturate` is false by default.)
 */
export function encodeFloat(
  dtype: SmallFloat,
  x: number,
  saturate = dtype !== "float16" && dtype !== "bfloat16",
): number {
  const f: FloatFormat = floatFormats[dtype];
  const signBit = x < 0 || Object.is(x, -0) ? 1 << (f.exponent + f.mantissa) : 0;
  if (Number.isNaN(x)) return f.nan ?? 1 << (f.exponent + f.mantissa);
  const a = Math.abs(x);
  const bits = Number.isFinite(a) ? magnitudeBits(f, a) : Number.POSITIVE_INFINITY;
  const largest = magnitudeBits(f, f.max);
  if (bits > largest) {
    if (saturate || dtype === "float4e2m1") return signBit | largest;
    return f.unsignedZero ? f.nan! : signBit | (f.infinity ?? f.nan!);
  }
  return bits === 0 && f.unsignedZero ? 0 : signBit | bits;
}

function magnitudeBits(f: FloatFormat, a: number): number {
  const lowest = 1 - f.bias;
  const e = Math.max(exponentOf(a), lowest);
  const units = roundEven(a * 2 ** -e * 2 ** f.mantissa);
  // A carry into the next power of two is a carry into the exponent's bits.
  return (e - lowest) * 2 ** f.mantissa + units;
}

/** floor(log2(a)) of a positive number, exact; for 0 less than any. */
export function exponentOf(a: number): number {
  view.setFloat64(0, a);
  const e = (view.getUint16(0) >>> 4) & 0x7ff;
  return e === 0 ? (a === 0 ? Number.NEGATIVE_INFINITY : exponentOf(a * 2 ** 60) - 60) : e - 1023;
}

const view = new DataView(new ArrayBuffer(8));

/** The power of two that a byte of float8e8m0 stands for; 255 is NaN. */
export const decodeE8m0 = (bits: number): number => (bits === 255 ? Number.NaN : 2 ** (bits - 127));

/**
 * The byte of float8e8m0 for a number: its magnitude rounded to a power of two, `up` (the default of ONNX's Cast),
 * `down` or to `nearest` (ties up). Outside 2^-127 .. 2^127 the nearest of them when `saturate`, otherwise NaN.
 */
export function encodeE8m0(x: number, saturate = true, round: "up" | "down" | "nearest" = "up"): number {
  if (Number.isNaN(x)) return 255;
  const a = Math.abs(x);
  if (a === 0) return saturate ? 0 : 255;
  if (a === Number.POSITIVE_INFINITY) return saturate ? 254 : 255;
  const e = exponentOf(a);
  const rest = a * 2 ** -e - 1;
  const power = e + ((round === "up" && rest > 0) || (round === "nearest" && rest >= 0.5) ? 1 : 0);
  if (power < -127) return saturate ? 0 : 255;
  if (power > 127) return saturate ? 254 : 255;
  return power + 127;
}
