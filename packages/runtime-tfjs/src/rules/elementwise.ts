import type { Tensor, Tf } from "../engine.ts";
import { broadcast, spreadTo } from "./axes.ts";
import { all, type Call, evaluated, float, floats, input, int, numbers, type Rule, type Rules } from "./call.ts";

const unary = (f: (x: Tensor, c: Call) => Tensor): Rule => floats((c) => f(input(c, 0), c));
const binary = (f: (tf: Tf, x: Tensor, y: Tensor) => Tensor): Rule =>
  floats((c) => f(c.tf, input(c, 0), asLike(c.tf, input(c, 1), input(c, 0))));
const compare = (f: (tf: Tf, x: Tensor, y: Tensor) => Tensor): Rule => all((c) => f(c.tf, input(c, 0), input(c, 1)));

const asLike = (tf: Tf, y: Tensor, x: Tensor) => (y.dtype === x.dtype ? y : tf.cast(y, x.dtype));

/** The gradients of these do not broadcast: what they take is brought to one shape first. */
const chosen =
  (f: (tf: Tf, x: Tensor, y: Tensor) => Tensor) =>
  ({ tf, watched }: Call, x: Tensor, y: Tensor): Tensor => {
    if (!watched) return f(tf, x, y);
    const shape = broadcast(tf, x.shape, y.shape);
    return f(tf, spreadTo(tf, x, shape), spreadTo(tf, y, shape));
  };
const larger = chosen((tf, x, y) => tf.maximum(x, y));
const smaller = chosen((tf, x, y) => tf.minimum(x, y));

const fold =
  (f: (c: Call, x: Tensor, y: Tensor) => Tensor) =>
  (c: Call): Tensor =>
    c.tensors.slice(1).reduce<Tensor>((a, b) => f(c, a, b!), input(c, 0));

const negative = (tf: Tf, x: Tensor) => tf.minimum(x, tf.zerosLike(x));
const sum = fold(({ tf }, x, y) => tf.add(x, y));

/** `alpha * (e^x - 1)` where x is negative; where it is not, no power of it is taken, which would be infinite. */
const exponential = (x: Tensor, { tf }: Call, alpha: number, scale = 1) =>
  tf.add(tf.relu(x), tf.mul(tf.expm1(tf.div(negative(tf, x), scale)), alpha));

function choose(c: Call): Tensor {
  const { tf } = c;
  const [condition, x, y] = [input(c, 0), input(c, 1), input(c, 2)];
  if (x.dtype === "bool") {
    const other = tf.logicalAnd(tf.logicalNot(condition), y);
    return tf.logicalOr(tf.logicalAnd(condition, x), other);
  }
  const shape = broadcast(tf, condition.shape, x.shape, y.shape);
  return tf.where(spreadTo(tf, condition, shape), spreadTo(tf, x, shape), spreadTo(tf, y, shape));
}

function clip(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const [low, high] = [numbers(c, 1)?.[0] ?? Number.NEGATIVE_INFINITY, numbers(c, 2)?.[0] ?? Number.POSITIVE_INFINITY];
  if (x.dtype === "float32" && low <= high) return tf.clipByValue(x, low, high);
  // What is carried in 32 bits has no bounds beyond them.
  const bound = (v: number) =>
    tf.scalar(x.dtype === "float32" ? v : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, v)), x.dtype);
  return smaller(c, larger(c, x, bound(low)), bound(high));
}

/** By the exact remainder that JavaScript and C have, which TensorFlow's is for numbers that are not negative. */
function remainder(c: Call): Tensor {
  const { tf } = c;
  const [x, y] = [input(c, 0), input(c, 1)];
  if (int(c, "fmod", 0) !== 1) return tf.mod(x, y);
  const size = tf.mod(tf.abs(x), tf.abs(y));
  return tf.where(c.apart(tf.less(spreadTo(tf, x, size.shape), 0)), tf.neg(size), size);
}

function infinite(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const sides = [
    int(c, "detect_negative", 1) === 1 ? tf.less(x, 0) : undefined,
    int(c, "detect_positive", 1) === 1 ? tf.greater(x, 0) : undefined,
  ].flatMap((side) => (side ? [tf.logicalAnd(tf.isInf(x), side)] : []));
  return sides.length === 0 ? tf.zeros(x.shape, "bool") : sides.reduce((a, b) => tf.logicalOr(a, b));
}

export const elementwise: Rules = {
  Abs: unary((x, { tf }) => tf.abs(x)),
  Acos: unary((x, { tf }) => tf.acos(x)),
  Acosh: unary((x, { tf }) => tf.acosh(x)),
  Add: binary((tf, x, y) => tf.add(x, y)),
  And: compare((tf, x, y) => tf.logicalAnd(x, y)),
  Asin: unary((x, { tf }) => tf.asin(x)),
  Asinh: unary((x, { tf }) => tf.asinh(x)),
  Atan: unary((x, { tf }) => tf.atan(x)),
  Atanh: unary((x, { tf }) => tf.atanh(x)),
  BitShift: evaluated,
  BitwiseAnd: evaluated,
  BitwiseNot: evaluated,
  BitwiseOr: evaluated,
  BitwiseXor: evaluated,
  Ceil: unary((x, { tf }) => tf.ceil(x)),
  Celu: unary((x, c) => exponential(x, c, float(c, "alpha", 1), float(c, "alpha", 1))),
  Clip: all(clip, 1, 2),
  Cos: unary((x, { tf }) => tf.cos(x)),
  Cosh: unary((x, { tf }) => tf.cosh(x)),
  Div: binary((tf, x, y) => tf.div(x, y)),
  Elu: unary((x, c) => exponential(x, c, float(c, "alpha", 1))),
  Equal: compare((tf, x, y) => tf.equal(x, y)),
  Erf: unary((x, { tf }) => tf.erf(x)),
  Exp: unary((x, { tf }) => tf.exp(x)),
  Floor: unary((x, { tf }) => tf.floor(x)),
  Greater: compare((tf, x, y) => tf.greater(x, y)),
  GreaterOrEqual: compare((tf, x, y) => tf.greaterEqual(x, y)),
  HardSigmoid: unary((x, c) =>
    c.tf.clipByValue(c.tf.add(c.tf.mul(x, float(c, "alpha", 0.2)), float(c, "beta", 0.5)), 0, 1),
  ),
  Identity: all((c) => input(c, 0)),
  IsInf: floats(infinite),
  IsNaN: unary((x, { tf }) => tf.isNaN(x)),
  LeakyRelu: unary((x, c) => c.tf.leakyRelu(x, float(c, "alpha", 0.01))),
  Less: compare((tf, x, y) => tf.less(x, y)),
  LessOrEqual: compare((tf, x, y) => tf.lessEqual(x, y)),
  Log: unary((x, { tf }) => tf.log(x)),
  Max: all(fold(larger)),
  Mean: floats((c) => c.tf.div(sum(c), c.tensors.length)),
  Min: all(fold(smaller)),
  Mod: floats(remainder),
  Mul: binary((tf, x, y) => tf.mul(x, y)),
  Neg: unary((x, { tf }) => tf.neg(x)),
  Not: all((c) => c.tf.logicalNot(input(c, 0))),
  Or: compare((tf, x, y) => tf.logicalOr(x, y)),
  PRelu: binary((tf, x, slope) => tf.add(tf.relu(x), tf.mul(slope, negative(tf, x)))),
  Pow: binary((tf, x, y) => tf.pow(x, y)),
  Reciprocal: unary((x, { tf }) => tf.reciprocal(x)),
  Relu: unary((x, { tf }) => tf.relu(x)),
  Round: unary((x, { tf }) => tf.round(x)),
  Selu: unary((x, c) => {
    const [alpha, gamma] = [float(c, "alpha", 1.6732631921768188), float(c, "gamma", 1.0507010221481323)];
    return c.tf.mul(exponential(x, c, alpha), gamma);
  }),
  Shrink: unary((x, c) => {
    const { tf } = c;
    const [bias, lambd] = [float(c, "bias", 0), float(c, "lambd", 0.5)];
    const rest = tf.where(c.apart(tf.greater(x, lambd)), tf.sub(x, bias), tf.zerosLike(x));
    return tf.where(c.apart(tf.less(x, -lambd)), tf.add(x, bias), rest);
  }),
  Sigmoid: unary((x, { tf }) => tf.sigmoid(x)),
  Sign: unary((x, { tf }) => tf.sign(x)),
  Sin: unary((x, { tf }) => tf.sin(x)),
  Sinh: unary((x, { tf }) => tf.sinh(x)),
  Softplus: unary((x, { tf }) => tf.softplus(x)),
  Softsign: unary((x, { tf }) => tf.div(x, tf.add(tf.abs(x), 1))),
  Sqrt: unary((x, { tf }) => tf.sqrt(x)),
  Sub: binary((tf, x, y) => tf.sub(x, y)),
  Sum: floats(sum),
  Tan: unary((x, { tf }) => tf.tan(x)),
  Tanh: unary((x, { tf }) => tf.tanh(x)),
  ThresholdedRelu: unary((x, c) => c.tf.where(c.apart(c.tf.greater(x, float(c, "alpha", 1))), x, c.tf.zerosLike(x))),
  Where: all(choose),
  Xor: compare((tf, x, y) => tf.logicalXor(x, y)),
};
