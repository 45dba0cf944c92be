import { tensor } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { fromTensor, isWide, type Nd, toTensor, type Wide, wideOf } from "./array.ts";
import { wrapped } from "./cast.ts";
import { zip } from "./elementwise.ts";
import { type EvaluateRule, type EvaluateRules, input, int, text } from "./rule.ts";

/** An operation on bits, of up to 32 and of 64. */
const bitwise =
  (f: (x: number, y: number) => number, wide: (x: bigint, y: bigint) => bigint): EvaluateRule =>
  (call) => {
    const a = input(call, 0);
    return [zip(a, input(call, 1), (x, y) => wrapped(a.dtype, f(x, y)), wide)];
  };

const shift: EvaluateRule = (call) => {
  const left = text(call, "direction", "") === "LEFT";
  const a = input(call, 0);
  const by = (x: bigint, y: bigint) => (y < 0n || y > 63n ? 0n : left ? x << y : x >> y);
  const narrow = (x: number, y: number) => wrapped(a.dtype, left ? x * 2 ** y : Math.floor(x / 2 ** y));
  return [zip(a, input(call, 1), narrow, by)];
};

/** The same bits seen as elements of another type. */
const bitCast: EvaluateRule = (call) => {
  const x = input(call, 0);
  const { bytes } = toTensor(x);
  const dtype = dtypeOfCode(int(call, "to", 0));
  return [fromTensor(tensor(dtype, x.shape, bytes))];
};

const not: EvaluateRule = (call) => {
  const x = input(call, 0);
  const data = isWide(x.dtype)
    ? wideOf(
        x.dtype,
        Array.from(x.data as Wide, (v) => ~v),
      )
    : (x.data as Float64Array).map((v) => wrapped(x.dtype, ~v));
  return [{ ...x, data } satisfies Nd];
};

export const bits: EvaluateRules = {
  BitwiseAnd: bitwise(
    (x, y) => x & y,
    (x, y) => x & y,
  ),
  BitwiseOr: bitwise(
    (x, y) => x | y,
    (x, y) => x | y,
  ),
  BitwiseXor: bitwise(
    (x, y) => x ^ y,
    (x, y) => x ^ y,
  ),
  BitwiseNot: not,
  BitShift: shift,
  BitCast: bitCast,
};
