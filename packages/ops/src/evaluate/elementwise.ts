import type { DType } from "@pare/core";
import {
  broadcastPositions,
  broadcastShape,
  isWide,
  isWideData,
  type Nd,
  newData,
  numbersOf,
  wideOf,
} from "./array.ts";
import { type Call, type EvaluateRule, type EvaluateRules, float, input, int, text } from "./rule.ts";

const unary =
  (f: (x: number, call: Call) => number, wide?: (x: bigint) => bigint): EvaluateRule =>
  (call) => {
    const x = input(call, 0);
    const data = newData(x.dtype, x.shape);
    if (isWideData(data)) for (let i = 0; i < data.length; i++) data[i] = wide!(x.data[i] as bigint);
    else for (let i = 0; i < data.length; i++) data[i] = f(x.data[i] as number, call);
    return [{ ...x, data }];
  };

/** Applies a function of two to arrays that are broadcast to each other. `dtype` is that of the result, by default theirs. */
export function zip(
  a: Nd,
  b: Nd,
  f: (x: number, y: number) => number,
  wide?: (x: bigint, y: bigint) => bigint | boolean,
  dtype: DType = a.dtype,
): Nd {
  const shape = broadcastShape(a.shape, b.shape);
  const [p, q] = [broadcastPositions(a.shape, shape), broadcastPositions(b.shape, shape)];
  const data = newData(dtype, shape);
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [a.data[p[i]!]!, b.data[q[i]!]!];
    if (isWide(a.dtype)) {
      const r = wide!(x as bigint, y as bigint);
      if (isWideData(data)) data[i] = r as bigint;
      else data[i] = Number(r);
    } else data[i] = f(x as number, y as number);
  }
  return { dtype, shape, data };
}

const binary =
  (f: (x: number, y: number) => number, wide: (x: bigint, y: bigint) => bigint): EvaluateRule =>
  (call) => [zip(input(call, 0), input(call, 1), f, wide)];
const comparison =
  (f: (x: number, y: number) => boolean, wide: (x: bigint, y: bigint) => boolean): EvaluateRule =>
  (call) => [zip(input(call, 0), input(call, 1), (x, y) => Number(f(x, y)), wide, "bool")];
const logical =
  (f: (x: number, y: number) => number): EvaluateRule =>
  (call) => [zip(input(call, 0), input(call, 1), f, undefined, "bool")];
/** Folds any number of inputs. */
const variadic =
  (f: (x: number, y: number) => number, wide: (x: bigint, y: bigint) => bigint): EvaluateRule =>
  (call) => [call.inputs.slice(1).reduce<Nd>((a, b) => zip(a, b!, f, wide), input(call, 0))];

const isFloat = (dtype: DType) => dtype.includes("float");

const multiply: EvaluateRule = (call) => {
  const [a, b] = [input(call, 0), input(call, 1)];
  // A product of 32-bit integers has more bits than a float64: its low ones count.
  return [zip(a, b, isFloat(a.dtype) ? (x, y) => x * y : Math.imul, (x, y) => x * y)];
};

const divide: EvaluateRule = (call) => {
  const [a, b] = [input(call, 0), input(call, 1)];
  // Integers divide as in C, towards zero; by zero is undefined there and 0 here.
  const f = isFloat(a.dtype)
    ? (x: number, y: number) => x / y
    : (x: number, y: number) => (y === 0 ? 0 : Math.trunc(x / y));
  return [zip(a, b, f, (x, y) => (y === 0n ? 0n : x / y))];
};

/** A power in 64-bit integers, by squaring. */
function widePower(base: bigint, exponent: bigint): bigint {
  if (exponent < 0n) return base === 1n ? 1n : base === -1n ? (exponent % 2n === 0n ? 1n : -1n) : 0n;
  let result = 1n;
  for (let [b, e] = [base, exponent]; e > 0n; e >>= 1n, b = BigInt.asUintN(64, b * b))
    if (e & 1n) result = BigInt.asUintN(64, result * b);
  return result;
}

const power: EvaluateRule = (call) => {
  const [a, b] = [input(call, 0), input(call, 1)];
  const integers = isWide(a.dtype) && !isFloat(b.dtype);
  if (integers) return [zip(a, { ...b, data: wideOf("int64", b.data), dtype: "int64" }, (x) => x, widePower)];
  const base: Nd = { ...a, data: numbersOf(a), dtype: isWide(a.dtype) ? "float64" : a.dtype };
  const result = zip(base, { ...b, data: numbersOf(b), dtype: "float64" }, (x, y) => x ** y);
  return [isWide(a.dtype) ? { ...result, dtype: a.dtype, data: wideOf(a.dtype, result.data as Float64Array) } : result];
};

const mod: EvaluateRule = (call) => {
  const c = int(call, "fmod", 0) === 1;
  const f = (x: number, y: number) => (c ? x % y : x - Math.floor(x / y) * y);
  const wide = (x: bigint, y: bigint) => {
    const r = x % y;
    return !c && r !== 0n && r < 0n !== y < 0n ? r + y : r;
  };
  return [zip(input(call, 0), input(call, 1), f, wide)];
};

/** Abramowitz and Stegun's series and continued fraction are too coarse: erf by its Taylor series, erfc by Lentz's fraction. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum) && n < 200; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

export const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
export const softplus = (x: number) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0);

const clip: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [low, high] = [call.inputs[1], call.inputs[2]];
  const raised = low
    ? zip(
        x,
        low,
        (v, l) => (v < l ? l : v),
        (v, l) => (v < l ? l : v),
      )
    : x;
  return [
    high
      ? zip(
          raised,
          high,
          (v, h) => (v > h ? h : v),
          (v, h) => (v > h ? h : v),
        )
      : raised,
  ];
};

const where: EvaluateRule = (call) => {
  const [c, a, b] = [input(call, 0), input(call, 1), input(call, 2)];
  const shape = broadcastShape(c.shape, a.shape, b.shape);
  const [r, p, q] = [c, a, b].map((x) => broadcastPositions(x.shape, shape)) as [Int32Array, Int32Array, Int32Array];
  const data = newData(a.dtype, shape);
  for (let i = 0; i < data.length; i++) data[i] = c.data[r[i]!] ? a.data[p[i]!]! : b.data[q[i]!]!;
  return [{ dtype: a.dtype, shape, data }];
};

const roundEven = (x: number) => {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
};

const isInf: EvaluateRule = (call) => {
  const [negative, positive] = [int(call, "detect_negative", 1) === 1, int(call, "detect_positive", 1) === 1];
  const x = input(call, 0);
  const is = (v: number) =>
    (positive && v === Number.POSITIVE_INFINITY) || (negative && v === Number.NEGATIVE_INFINITY);
  return [{ dtype: "bool", shape: x.shape, data: numbersOf(x).map((v) => Number(is(v))) }];
};

const mean: EvaluateRule = (call) => {
  const count = call.inputs.length;
  const sum = call.inputs.slice(1).reduce<Nd>((a, b) => zip(a, b!, (x, y) => x + y), input(call, 0));
  return [{ ...sum, data: numbersOf(sum).map((v) => v / count) }];
};

export const elementwise: EvaluateRules = {
  Abs: unary(Math.abs, (x) => (x < 0n ? -x : x)),
  Neg: unary(
    (x) => -x,
    (x) => -x,
  ),
  Sign: unary(Math.sign, (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n)),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(roundEven),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tan: unary(Math.tan),
  Asin: unary(Math.asin),
  Acos: unary(Math.acos),
  Atan: unary(Math.atan),
  Sinh: unary(Math.sinh),
  Cosh: unary(Math.cosh),
  Tanh: unary(Math.tanh),
  Asinh: unary(Math.asinh),
  Acosh: unary(Math.acosh),
  Atanh: unary(Math.atanh),
  Erf: unary(erf),
  Not: unary((x) => (x ? 0 : 1)),
  Identity: (call) => [input(call, 0)],
  Relu: unary(
    (x) => (x > 0 || Number.isNaN(x) ? x : 0),
    (x) => (x > 0n ? x : 0n),
  ),
  Sigmoid: unary(sigmoid),
  Softplus: unary(softplus),
  Softsign: unary((x) => x / (1 + Math.abs(x))),
  HardSwish: unary((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  Mish: unary((x) => x * Math.tanh(softplus(x))),
  LeakyRelu: unary((x, call) => (x < 0 ? float(call, "alpha", 0.01) * x : x)),
  Elu: unary((x, call) => (x < 0 ? float(call, "alpha", 1) * Math.expm1(x) : x)),
  Celu: unary((x, call) => {
    const alpha = float(call, "alpha", 1);
    return Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  }),
  Selu: unary((x, call) => {
    const [alpha, gamma] = [float(call, "alpha", 1.6732631921768188), float(call, "gamma", 1.0507010221481323)];
    return gamma * (x > 0 ? x : alpha * Math.expm1(x));
  }),
  HardSigmoid: unary((x, call) => Math.max(0, Math.min(1, float(call, "alpha", 0.2) * x + float(call, "beta", 0.5)))),
  ThresholdedRelu: unary((x, call) => (x > float(call, "alpha", 1) ? x : 0)),
  Shrink: unary((x, call) => {
    const [bias, lambd] = [float(call, "bias", 0), float(call, "lambd", 0.5)];
    return x < -lambd ? x + bias : x > lambd ? x - bias : 0;
  }),
  Gelu: unary((x, call) =>
    text(call, "approximate", "none") === "tanh"
      ? 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
      : 0.5 * x * (1 + erf(x / Math.SQRT2)),
  ),
  IsNaN: (call) => [
    { ...input(call, 0), dtype: "bool", data: numbersOf(input(call, 0)).map((x) => Number(Number.isNaN(x))) },
  ],
  IsInf: isInf,
  Swish: unary((x, call) => x * sigmoid(float(call, "alpha", 1) * x)),
  Mean: mean,
  Add: binary(
    (x, y) => x + y,
    (x, y) => x + y,
  ),
  Sub: binary(
    (x, y) => x - y,
    (x, y) => x - y,
  ),
  Mul: multiply,
  Div: divide,
  Pow: power,
  Mod: mod,
  PRelu: binary(
    (x, slope) => (x < 0 ? slope * x : x),
    (x, slope) => (x < 0n ? slope * x : x),
  ),
  Max: variadic(
    (x, y) => Math.max(x, y),
    (x, y) => (x > y ? x : y),
  ),
  Min: variadic(
    (x, y) => Math.min(x, y),
    (x, y) => (x < y ? x : y),
  ),
  Sum: variadic(
    (x, y) => x + y,
    (x, y) => x + y,
  ),
  Equal: comparison(
    (x, y) => x === y,
    (x, y) => x === y,
  ),
  Greater: comparison(
    (x, y) => x > y,
    (x, y) => x > y,
  ),
  GreaterOrEqual: comparison(
    (x, y) => x >= y,
    (x, y) => x >= y,
  ),
  Less: comparison(
    (x, y) => x < y,
    (x, y) => x < y,
  ),
  LessOrEqual: comparison(
    (x, y) => x <= y,
    (x, y) => x <= y,
  ),
  And: logical((x, y) => Number(x !== 0 && y !== 0)),
  Or: logical((x, y) => Number(x !== 0 || y !== 0)),
  Xor: logical((x, y) => Number((x !== 0) !== (y !== 0))),
  Clip: clip,
  Where: where,
};
