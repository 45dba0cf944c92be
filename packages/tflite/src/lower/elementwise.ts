import { type DType, isFloat } from "@pare/core";
import { dtypeOf } from "@pare/ops/dtype-codes";
import { integerRange } from "@pare/ops/numeric";
import type { BuiltinOperator } from "../format/options.ts";
import { type Context, type Lowering, type Lowerings, refuse } from "./context.ts";
import type { Val } from "./program.ts";

/** Element types in which LiteRT computes an operator, narrowest first; others are computed in one that holds them. */
const arithmetic: readonly DType[] = ["float32", "int32", "int64"];
const floats: readonly DType[] = ["float32"];

const holds: Partial<Record<DType, readonly DType[]>> = {
  bool: ["int32"],
  int8: ["int32"],
  uint8: ["int32"],
  int16: ["int32"],
  uint16: ["int32"],
  uint32: ["int64"],
  float16: ["float32"],
  int32: ["int64"],
};

/** A value in one of `types` that holds all its numbers. */
export function widened(c: Context, x: Val, types: readonly DType[]): Val {
  if (types.includes(x.dtype)) return x;
  const wider = holds[x.dtype]?.find((d) => types.includes(d));
  return wider ? c.cast(x, wider) : refuse(`LiteRT does not compute it in ${x.dtype}`, "Cast its inputs to float32.");
}

const unary =
  (code: BuiltinOperator, types: readonly DType[] = floats): Lowering =>
  (c) => {
    const x = c.in(0);
    c.give(0, c.cast(c.unary(code, widened(c, x, types)), x.dtype));
  };

/** Two operands of one type, and a result of that type. */
export function compute(c: Context, code: BuiltinOperator, a: Val, b: Val, types: readonly DType[]): Val {
  return c.cast(c.binary(code, widened(c, a, types), widened(c, b, types)), a.dtype);
}

const binary =
  (code: BuiltinOperator, types: readonly DType[] = arithmetic): Lowering =>
  (c) =>
    c.give(0, compute(c, code, c.in(0), c.in(1), types));

const compare =
  (code: BuiltinOperator, types: readonly DType[] = arithmetic): Lowering =>
  (c) =>
    c.give(0, c.binary(code, widened(c, c.in(0), types), widened(c, c.in(1), types), "bool"));

const logical =
  (code: BuiltinOperator): Lowering =>
  (c) =>
    c.give(0, c.binary(code, c.in(0), c.in(1)));

const chain =
  (code: BuiltinOperator, types: readonly DType[] = arithmetic): Lowering =>
  (c) => {
    const values = c.inputs.map((_, i) => widened(c, c.in(i), types));
    c.give(
      0,
      c.cast(
        values.reduce((a, b) => c.binary(code, a, b)),
        c.in(0).dtype,
      ),
    );
  };

const formula =
  (make: (c: Context, x: Val) => Val): Lowering =>
  (c) => {
    const x = c.in(0);
    c.give(0, c.cast(make(c, widened(c, x, floats)), x.dtype));
  };

const num = (c: Context, value: number) => c.scalar(value, "float32");
export const mul = (c: Context, a: Val, b: Val | number) => c.binary("MUL", a, typeof b === "number" ? num(c, b) : b);
export const plus = (c: Context, a: Val, b: Val | number) => c.binary("ADD", a, typeof b === "number" ? num(c, b) : b);
export const minus = (c: Context, a: Val, b: Val) => c.binary("SUB", a, b);
const over = (c: Context, a: Val, b: Val) => c.binary("DIV", a, b);
const un = (c: Context, code: BuiltinOperator, x: Val) => c.unary(code, x);
const one = (c: Context) => num(c, 1);

/** log(1 + y) for y >= 0 without loss where y is small (Kahan). */
function log1p(c: Context, y: Val): Val {
  const u = plus(c, y, 1);
  const below = c.binary("EQUAL", u, one(c), "bool");
  const divisor = c.select(below, one(c), plus(c, u, -1));
  return c.select(below, y, mul(c, un(c, "LOG", u), over(c, y, divisor)));
}

export const softplus = (c: Context, x: Val): Val =>
  plus(c, un(c, "RELU", x), log1p(c, un(c, "EXP", un(c, "NEG", un(c, "ABS", x)))));

/** erf by Abramowitz and Stegun 7.1.26 (error below 1.5e-7). */
export function erf(c: Context, x: Val): Val {
  const a = un(c, "ABS", x);
  const t = over(c, one(c), plus(c, mul(c, a, 0.3275911), 1));
  const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const poly = mul(
    c,
    factors.slice(1).reduce((sum, f) => plus(c, mul(c, sum, t), f), num(c, factors[0]!)),
    t,
  );
  const tail = mul(c, poly, un(c, "EXP", un(c, "NEG", mul(c, a, a))));
  return mul(c, un(c, "SIGN", x), minus(c, one(c), tail));
}

/** atan by reduction to |x| <= tan(pi/8) and the polynomial of Cephes' atanf. */
function atan(c: Context, x: Val): Val {
  const a = un(c, "ABS", x);
  const large = c.binary("GREATER", a, num(c, 2.414213562373095), "bool");
  const middle = c.binary("GREATER", a, num(c, 0.4142135623730951), "bool");
  const inverse = over(c, num(c, -1), c.binary("MAXIMUM", a, one(c)));
  const shifted = over(c, plus(c, a, -1), plus(c, a, 1));
  const r = c.select(large, inverse, c.select(middle, shifted, a));
  const base = c.select(large, num(c, Math.PI / 2), c.select(middle, num(c, Math.PI / 4), num(c, 0)));
  const z = mul(c, r, r);
  const poly = [-1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1].reduce(
    (sum, f) => plus(c, mul(c, sum, z), f),
    num(c, 8.05374449538e-2),
  );
  return mul(c, un(c, "SIGN", x), plus(c, base, plus(c, mul(c, mul(c, poly, z), r), r)));
}

const square = (c: Context, x: Val) => mul(c, x, x);
const root = (c: Context, x: Val) => un(c, "SQRT", x);

/** 2 atan(x / (1 + sqrt(1 - x^2))), whose divisor is never 0. */
const asin = (c: Context, x: Val) =>
  mul(c, atan(c, over(c, x, plus(c, root(c, mul(c, minus(c, one(c), x), plus(c, x, 1))), 1))), 2);

const odd = (c: Context, x: Val, f: (a: Val) => Val) => mul(c, un(c, "SIGN", x), f(un(c, "ABS", x)));

/** (e^x - e^-x) / 2, by its series where that cancels. */
const sinh = (c: Context, x: Val): Val =>
  odd(c, x, (a) => {
    const z = square(c, a);
    const series = mul(c, a, plus(c, mul(c, z, plus(c, mul(c, z, plus(c, mul(c, z, 1 / 5040), 1 / 120)), 1 / 6)), 1));
    const direct = mul(c, minus(c, un(c, "EXP", a), un(c, "EXP", un(c, "NEG", a))), 0.5);
    return c.select(c.binary("LESS", a, one(c), "bool"), series, direct);
  });

const clip: Lowering = (c) => {
  const x = c.in(0);
  const [lo, hi] = [c.maybe(1), c.maybe(2)];
  const [low, high] = [c.numbers(lo)?.[0], c.numbers(hi)?.[0]];
  const isKnown = (!lo || low !== undefined) && (!hi || high !== undefined);
  if (x.dtype === "float32" && isKnown) {
    const [from, to] = [low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY];
    if (from === 0 && to > 3.4e38) return c.give(0, un(c, "RELU", x));
    if (from === 0 && to === 6) return c.give(0, un(c, "RELU6", x));
    if (from === -1 && to === 1) return c.give(0, un(c, "RELU_N1_TO_1", x));
  }
  let v = widened(c, x, arithmetic);
  if (lo) v = c.binary("MAXIMUM", v, widened(c, c.reshape(lo, []), arithmetic));
  if (hi) v = c.binary("MINIMUM", v, widened(c, c.reshape(hi, []), arithmetic));
  c.give(0, c.cast(v, x.dtype));
};

const convertible = new Set("float32 float16 int32 int64 int16 int8 uint8 uint16 uint32 bool float64".split(" "));

export function castTo(c: Context, x: Val, to: DType): Val {
  if (x.dtype === to) return x;
  for (const d of [x.dtype, to]) if (!convertible.has(d)) refuse(`LiteRT does not know ${d}`);
  if (to === "bool") {
    const wide = widened(c, x, arithmetic);
    return c.binary("NOT_EQUAL", wide, c.scalar(0, wide), "bool");
  }
  return c.cast(x, to);
}

function prelu(c: Context) {
  const [x, slope] = [c.in(0), c.in(1)];
  if (x.dtype !== "float32") {
    const [v, s] = [widened(c, x, arithmetic), widened(c, slope, arithmetic)];
    const below = c.binary("LESS", v, c.scalar(0, v), "bool");
    return c.give(0, c.cast(c.select(below, c.binary("MUL", v, s), v), x.dtype));
  }
  c.give(0, plus(c, un(c, "RELU", x), mul(c, c.binary("MINIMUM", x, num(c, 0)), slope)));
}

function mod(c: Context) {
  const [a, b] = [c.in(0), c.in(1)];
  if (c.int("fmod", 0) === 0) return c.give(0, compute(c, "FLOOR_MOD", a, b, arithmetic));
  const [x, y] = [widened(c, a, arithmetic), widened(c, b, arithmetic)];
  const size = (v: Val) => c.binary("MAXIMUM", v, c.binary("SUB", c.scalar(0, v), v));
  const rest = c.binary("FLOOR_MOD", size(x), size(y));
  const isBelow = c.binary("LESS", x, c.scalar(0, x), "bool");
  c.give(0, c.cast(c.select(isBelow, c.binary("SUB", c.scalar(0, rest), rest), rest), a.dtype));
}

function pow(c: Context) {
  const [a, b] = [c.in(0), c.in(1)];
  const exponent = c.numbers(b);
  for (const v of [a, b])
    if (v.dtype === "uint64" || v.dtype === "float64") refuse(`LiteRT does not compute it in ${v.dtype}`);
  if (a.dtype === "float32" && b.shape.length <= a.shape.length && exponent?.length === 1) {
    if (exponent[0] === 2) return c.give(0, square(c, a));
    if (exponent[0] === 1) return c.give(0, a);
    if (exponent[0] === 0.5) return c.give(0, root(c, a));
    if (exponent[0] === 3) return c.give(0, mul(c, square(c, a), a));
  }
  if (a.dtype === "int64") {
    if (exponent?.length === 1 && Number.isInteger(exponent[0]) && exponent[0]! >= 1 && exponent[0]! <= 8)
      return c.give(
        0,
        Array(exponent[0]! - 1)
          .fill(a)
          .reduce((p: Val, v: Val) => mul(c, p, v), a),
      );
    if (!isFloat(b.dtype)) return c.give(0, powers(c, a, c.cast(b, "int32")));
  }
  const base = isFloat(a.dtype) ? c.cast(a, "float32") : widened(c, a, ["float32", "int32", "int64"]);
  if (base.dtype !== "float32" && isFloat(b.dtype))
    return c.give(0, c.cast(c.binary("POW", c.cast(base, "float32"), c.cast(b, "float32")), a.dtype));
  c.give(0, c.cast(c.binary("POW", base, c.cast(b, base.dtype)), a.dtype));
}

/**
 * Integer powers by squaring. Of exponents above 63 only -1, 0 and 1 have a power in 64 bits, and they have that of 62 or 63; of
 * negative ones integers have none.
 */
function powers(c: Context, base: Val, exponent: Val): Val {
  const int = (n: number) => c.scalar(n, "int32");
  const odd = (v: Val) => c.binary("FLOOR_MOD", v, int(2));
  let rest = c.binary("MINIMUM", exponent, c.binary("ADD", odd(exponent), int(62)));
  let [result, square]: [Val | undefined, Val] = [undefined, base];
  for (let bit = 0; bit < 6; bit++) {
    const factor = c.select(c.cast(odd(rest), "bool"), square, c.scalar(1, base));
    result = result ? mul(c, result, factor) : factor;
    if (bit < 5) [square, rest] = [mul(c, square, square), c.binary("FLOOR_DIV", rest, int(2))];
  }
  return result!;
}

export function elu(c: Context, x: Val, alpha: number): Val {
  if (alpha === 1) return un(c, "ELU", x);
  return plus(c, un(c, "RELU", x), mul(c, un(c, "ELU", c.binary("MINIMUM", x, num(c, 0))), alpha));
}

export const thresholdedRelu = (c: Context, x: Val, alpha: number): Val =>
  c.select(c.binary("GREATER", x, num(c, alpha), "bool"), x, num(c, 0));

function bitShift(c: Context) {
  const [a, b] = [c.in(0), c.in(1)];
  if (a.dtype === "uint64") refuse("LiteRT has no uint64");
  if (c.text("direction", "LEFT") === "RIGHT") {
    const types: DType[] = ["uint8", "uint16", "uint32", "int32"];
    return c.give(0, c.cast(c.binary("RIGHT_SHIFT", widened(c, a, types), widened(c, b, types)), a.dtype));
  }
  const top = Number(integerRange(a.dtype)![1]) + 1;
  const power = c.cast(c.binary("POW", c.scalar(2, "float32"), c.cast(b, "float32")), "int64");
  const product = c.binary("MUL", c.cast(a, "int64"), power);
  c.give(0, c.cast(c.binary("FLOOR_MOD", product, c.scalar(top, "int64")), a.dtype));
}

/** a & b, of which a + b = (a ^ b) + 2 (a & b), in halves of 16 bits where the sum would not fit; a | b = (a ^ b) + (a & b). */
function bits(c: Context, which: "and" | "or"): Val {
  const [a, b] = [widened(c, c.in(0), ["int32"]), widened(c, c.in(1), ["int32"])];
  const int = (n: number) => c.scalar(n, "int32");
  const xor = (x: Val, y: Val) => c.binary("BITWISE_XOR", x, y);
  const common = (x: Val, y: Val) => c.binary("DIV", minus(c, c.binary("ADD", x, y), xor(x, y)), int(2));
  let and: Val;
  if (c.in(0).dtype === "int32") {
    const high = (x: Val) => c.binary("FLOOR_DIV", x, int(65536));
    const low = (x: Val) => c.binary("FLOOR_MOD", x, int(65536));
    and = c.binary("ADD", c.binary("MUL", common(high(a), high(b)), int(65536)), common(low(a), low(b)));
  } else and = common(a, b);
  return c.cast(which === "and" ? and : c.binary("ADD", xor(a, b), and), c.in(0).dtype);
}

export const elementwise: Lowerings = {
  Abs: (c) => {
    const x = c.in(0);
    if (x.dtype === "float32") return c.give(0, un(c, "ABS", x));
    const v = widened(c, x, arithmetic);
    c.give(0, c.cast(c.binary("MAXIMUM", v, c.binary("SUB", c.scalar(0, v), v)), x.dtype));
  },
  Neg: unary("NEG", arithmetic),
  Ceil: unary("CEIL"),
  Floor: unary("FLOOR"),
  Round: unary("ROUND"),
  Exp: unary("EXP"),
  Log: unary("LOG"),
  Sqrt: unary("SQRT"),
  Sin: unary("SIN"),
  Cos: unary("COS"),
  Tanh: unary("TANH"),
  Sigmoid: unary("LOGISTIC"),
  Relu: (c) => {
    const x = c.in(0);
    if (x.dtype === "float32") return c.give(0, un(c, "RELU", x));
    const v = widened(c, x, arithmetic);
    c.give(0, c.cast(c.binary("MAXIMUM", v, c.scalar(0, v)), x.dtype));
  },
  HardSwish: unary("HARD_SWISH"),
  Sign: unary("SIGN", ["float32", "int32"]),
  Not: (c) => c.give(0, un(c, "LOGICAL_NOT", c.in(0))),
  And: logical("LOGICAL_AND"),
  Or: logical("LOGICAL_OR"),
  Xor: logical("NOT_EQUAL"),
  BitwiseNot: (c) => {
    const x = c.in(0);
    const v = widened(c, x, ["int32", "int64"]);
    c.give(0, c.cast(c.binary("SUB", c.scalar(-1, v), v), x.dtype));
  },
  BitwiseXor: (c) =>
    c.give(0, compute(c, "BITWISE_XOR", c.in(0), c.in(1), ["int32", "uint8", "int16", "int8", "uint32"])),
  BitwiseAnd: (c) => c.give(0, bits(c, "and")),
  BitwiseOr: (c) => c.give(0, bits(c, "or")),
  BitShift: bitShift,
  Add: binary("ADD"),
  Sub: binary("SUB"),
  Mul: binary("MUL"),
  Div: (c) => {
    if (["int64", "uint32", "uint64"].includes(c.in(0).dtype))
      refuse(`LiteRT has no division of ${c.in(0).dtype}`, "Cast its inputs to int32.");
    c.give(0, compute(c, "DIV", c.in(0), c.in(1), ["float32", "int32"]));
  },
  Mod: mod,
  Pow: pow,
  Sum: chain("ADD"),
  Max: chain("MAXIMUM"),
  Min: chain("MINIMUM"),
  Mean: (c) => {
    const sum = c.inputs.map((_, i) => widened(c, c.in(i), floats)).reduce((a, b) => plus(c, a, b));
    c.give(0, c.cast(c.inputs.length === 1 ? sum : mul(c, sum, 1 / c.inputs.length), c.in(0).dtype));
  },
  Equal: (c) => {
    if (c.in(0).dtype === "bool") return c.give(0, c.binary("EQUAL", c.in(0), c.in(1)));
    compare("EQUAL")(c);
  },
  Greater: compare("GREATER"),
  GreaterOrEqual: compare("GREATER_EQUAL"),
  Less: compare("LESS"),
  LessOrEqual: compare("LESS_EQUAL"),
  Where: (c) => c.give(0, c.select(c.in(0), c.in(1), c.in(2))),
  Clip: clip,
  Cast: (c) => c.give(0, castTo(c, c.in(0), dtypeOf(c.int("to", 1)) ?? refuse("its element type is unknown"))),
  CastLike: (c) => c.give(0, castTo(c, c.in(0), c.in(1).dtype)),
  PRelu: prelu,
  LeakyRelu: formula((c, x) => c.unary("LEAKY_RELU", x, { alpha: c.float("alpha", 0.01) })),
  Elu: formula((c, x) => elu(c, x, c.float("alpha", 1))),
  Celu: formula((c, x) => {
    const alpha = c.float("alpha", 1);
    const below = mul(c, un(c, "ELU", mul(c, c.binary("MINIMUM", x, num(c, 0)), 1 / alpha)), alpha);
    return plus(c, un(c, "RELU", x), below);
  }),
  Selu: formula((c, x) => {
    const [alpha, gamma] = [c.float("alpha", 1.6732632423543772), c.float("gamma", 1.0507009873554805)];
    const below = mul(c, un(c, "ELU", c.binary("MINIMUM", x, num(c, 0))), alpha);
    return mul(c, plus(c, un(c, "RELU", x), below), gamma);
  }),
  Gelu: formula((c, x) => c.unary("GELU", x, { approximate: c.text("approximate", "none") === "tanh" })),
  HardSigmoid: formula((c, x) => {
    const line = plus(c, mul(c, x, c.float("alpha", 0.2)), c.float("beta", 0.5));
    return c.binary("MINIMUM", un(c, "RELU", line), one(c));
  }),
  Softplus: formula(softplus),
  Softsign: formula((c, x) => over(c, x, plus(c, un(c, "ABS", x), 1))),
  ThresholdedRelu: formula((c, x) => thresholdedRelu(c, x, c.float("alpha", 1))),
  Shrink: (c) => {
    const x = c.in(0);
    const [lambd, bias] = [c.float("lambd", 0.5), c.float("bias", 0)];
    const v = widened(c, x, isFloat(x.dtype) ? floats : arithmetic);
    const s = (n: number) => c.scalar(n, v);
    if (v.dtype !== "float32" && !(Number.isInteger(lambd) && Number.isInteger(bias)))
      refuse("its bounds are no integers, but its input is");
    const down = c.select(c.binary("GREATER", v, s(lambd), "bool"), c.binary("SUB", v, s(bias)), s(0));
    c.give(0, c.cast(c.select(c.binary("LESS", v, s(-lambd), "bool"), c.binary("ADD", v, s(bias)), down), x.dtype));
  },
  Reciprocal: formula((c, x) => over(c, one(c), x)),
  Erf: formula(erf),
  Tan: formula((c, x) => over(c, un(c, "SIN", x), un(c, "COS", x))),
  Atan: formula(atan),
  Asin: formula(asin),
  Acos: formula((c, x) => mul(c, asin(c, root(c, mul(c, minus(c, one(c), x), 0.5))), 2)),
  Sinh: formula(sinh),
  Cosh: formula((c, x) => mul(c, plus(c, un(c, "EXP", x), un(c, "EXP", un(c, "NEG", x))), 0.5)),
  Asinh: formula((c, x) =>
    odd(c, x, (a) => log1p(c, plus(c, a, over(c, square(c, a), plus(c, root(c, plus(c, square(c, a), 1)), 1))))),
  ),
  Acosh: formula((c, x) => {
    const t = plus(c, x, -1);
    return log1p(c, plus(c, t, root(c, plus(c, mul(c, t, 2), square(c, t)))));
  }),
  Atanh: formula((c, x) => odd(c, x, (a) => mul(c, log1p(c, over(c, mul(c, a, 2), minus(c, one(c), a))), 0.5))),
  IsNaN: (c) => {
    const x = widened(c, c.in(0), floats);
    c.give(0, c.binary("NOT_EQUAL", x, x, "bool"));
  },
  IsInf: (c) => {
    const x = widened(c, c.in(0), floats);
    const [below, above] = [c.int("detect_negative", 1) === 1, c.int("detect_positive", 1) === 1];
    const is = (v: Val, n: number) => c.binary("EQUAL", v, num(c, n), "bool");
    if (below && above) return c.give(0, is(un(c, "ABS", x), Number.POSITIVE_INFINITY));
    if (!below && !above) return c.give(0, c.full("bool", x.shape, 0));
    c.give(0, is(x, above ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY));
  },
};
