import { attribute, type DType, isFloat } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { integerRange, isInteger } from "../numeric/convert.ts";
import { decodeE8m0, decodeFloat, encodeE8m0, encodeFloat, isSmallFloat } from "../numeric/formats.ts";
import { isWide, type Nd, numbersOf, wideOf } from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, input, int } from "./rule.ts";

/** How numbers that an 8-bit float lacks are treated: attributes of Cast. */
export interface CastOptions {
  readonly saturate?: boolean;
  /** For float8e8m0: `up`, `down` or `nearest`. */
  readonly round?: string;
}

/**
 * Numbers of any type as another: floats to integers are cut, numbers to bool are compared with zero, integers keep the
 * low bits. (ONNX 1.22, Cast.)
 */
export function cast(a: Nd, dtype: DType, { saturate = true, round = "up" }: CastOptions = {}): Nd {
  const { shape } = a;
  if (dtype === "bool")
    return { dtype, shape, data: Float64Array.from(a.data as Float64Array, (v) => (Number(v) === 0 ? 0 : 1)) };
  const whole = (v: number) => (Number.isFinite(v) ? Math.trunc(v) : 0);
  if (isWide(dtype)) {
    return { dtype, shape, data: wideOf(dtype, a.data) };
  }
  const numbers = numbersOf(a);
  if (isInteger(dtype)) return { dtype, shape, data: numbers.map((v) => wrapped(dtype, whole(v))) };
  if (dtype === "float8e8m0") {
    const mode = round === "down" || round === "nearest" ? round : "up";
    return { dtype, shape, data: numbers.map((v) => decodeE8m0(encodeE8m0(v, saturate, mode))) };
  }
  if (isSmallFloat(dtype) && dtype !== "float16" && dtype !== "bfloat16")
    return { dtype, shape, data: numbers.map((v) => decodeFloat(dtype, encodeFloat(dtype, v, saturate))) };
  return { dtype, shape, data: isFloat(dtype) ? numbers : numbers.map(whole) };
}

/** The integer of a type with the same low bits. */
export function wrapped(dtype: DType, v: number): number {
  const [low, high] = integerRange(dtype)!;
  const span = Number(high - low) + 1;
  return v >= Number(low) && v <= Number(high) ? v : ((((v - Number(low)) % span) + span) % span) + Number(low);
}

const options = (call: Call): CastOptions => ({
  saturate: int(call, "saturate", 1) !== 0,
  round: String(attribute(call.node, "round_mode", "string") ?? "up"),
});

const castRule: EvaluateRule = (call) => [cast(input(call, 0), dtypeOfCode(int(call, "to", 1)), options(call))];

export const casts: EvaluateRules = {
  Cast: castRule,
  CastLike: (call) => [cast(input(call, 0), input(call, 1).dtype, options(call))],
};
