import { attr, isFloat } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import type { GradientBuilder, GradientRule, GradientRules, Operand } from "./builder.ts";

type Unary = (b: GradientBuilder, calc: GradientBuilder["calc"]) => string;

/** The gradient of an operator's only input, from the builder. */
const unary =
  (make: Unary): GradientRule =>
  (b) => [() => make(b, b.calc)];

/** The operands of an operator that broadcasts: gradients in the shape of its output are summed to theirs. */
const broadcasting =
  (...make: readonly Unary[]): GradientRule =>
  (b) =>
    make.map((each, i) => () => b.sumTo(each(b, b.calc), b.y(), b.x(i)));

/** Values where a condition holds, and 0 elsewhere. */
const where = (b: GradientBuilder, condition: string, yes: Operand, no: Operand = 0) =>
  b.add(
    "Where",
    [condition, yes, no].map((v) => (typeof v === "number" ? b.float(v, b.real) : v)),
  );

/** So steep that it is a step but for numbers that are next to nothing. */
const STEEP = 2 ** 100;
/** Most a bound may be so that it is still a number after that. */
const MOST = 2 ** 20;

/**
 * 1 where a value is above (with `sign` -1: below) a bound, otherwise 0. A steep line between 0 and 1 is one operator that
 * engines compute on whole vectors and all threads, where a comparison, a cast and a choice are three, and slow.
 */
const isAbove = (b: GradientBuilder, v: string, bound: number, sign = 1) =>
  isWide(b)
    ? b.add("HardSigmoid", [v], { alpha: attr.float(sign * STEEP), beta: attr.float(-sign * STEEP * bound) })
    : b.cast(b.calc(sign > 0 ? "Greater" : "Less", v, bound), b.real);

/** 1 where a value that is never above 0 is 0, otherwise 0. */
export const isNotBelow = (b: GradientBuilder, v: string) =>
  isWide(b)
    ? b.add("HardSigmoid", [v], { alpha: attr.float(STEEP), beta: attr.float(1) })
    : b.cast(b.calc("GreaterOrEqual", v, 0), b.real);

/** Whether steep lines fit the element type. */
const isWide = (b: GradientBuilder) => b.real === "float32" || b.real === "float64";

const none: GradientRule = () => [];
/** Steps have no slope. */
const steps = Object.fromEntries(["Floor", "Ceil", "Round", "Sign", "Hardmax", "EyeLike"].map((op) => [op, none]));

const functions: GradientRules = {
  Identity: unary((b) => b.dy),
  Neg: unary((b, c) => c("Neg", b.dy)),
  Abs: unary((b, c) => c("Mul", b.dy, c("Sign", b.x(0)))),
  Exp: unary((b, c) => c("Mul", b.dy, b.y())),
  Log: unary((b, c) => c("Div", b.dy, b.x(0))),
  Sqrt: unary((b, c) => c("Div", c("Mul", b.dy, 0.5), b.y())),
  Reciprocal: unary((b, c) => c("Neg", c("Mul", b.dy, c("Mul", b.y(), b.y())))),
  Sin: unary((b, c) => c("Mul", b.dy, c("Cos", b.x(0)))),
  Cos: unary((b, c) => c("Neg", c("Mul", b.dy, c("Sin", b.x(0))))),
  Tan: unary((b, c) => c("Mul", b.dy, c("Add", c("Mul", b.y(), b.y()), 1))),
  Asin: unary((b, c) => c("Div", b.dy, c("Sqrt", c("Sub", 1, c("Mul", b.x(0), b.x(0)))))),
  Acos: unary((b, c) => c("Neg", c("Div", b.dy, c("Sqrt", c("Sub", 1, c("Mul", b.x(0), b.x(0))))))),
  Atan: unary((b, c) => c("Div", b.dy, c("Add", c("Mul", b.x(0), b.x(0)), 1))),
  Sinh: unary((b, c) => c("Mul", b.dy, c("Cosh", b.x(0)))),
  Cosh: unary((b, c) => c("Mul", b.dy, c("Sinh", b.x(0)))),
  Tanh: unary((b, c) => c("Mul", b.dy, c("Sub", 1, c("Mul", b.y(), b.y())))),
  Asinh: unary((b, c) => c("Div", b.dy, c("Sqrt", c("Add", c("Mul", b.x(0), b.x(0)), 1)))),
  Acosh: unary((b, c) => c("Div", b.dy, c("Sqrt", c("Sub", c("Mul", b.x(0), b.x(0)), 1)))),
  Atanh: unary((b, c) => c("Div", b.dy, c("Sub", 1, c("Mul", b.x(0), b.x(0))))),
  Erf: unary((b, c) => c("Mul", b.dy, c("Mul", c("Exp", c("Neg", c("Mul", b.x(0), b.x(0)))), 2 / Math.sqrt(Math.PI)))),
};

const activations: GradientRules = {
  Relu: unary((b, c) => c("Mul", b.dy, isAbove(b, b.y(), 0))),
  Sigmoid: unary((b, c) => c("Mul", b.dy, c("Mul", b.y(), c("Sub", 1, b.y())))),
  Softplus: unary((b, c) => c("Mul", b.dy, c("Sigmoid", b.x(0)))),
  Softsign: unary((b, c) => {
    const size = c("Add", c("Abs", b.x(0)), 1);
    return c("Div", b.dy, c("Mul", size, size));
  }),
  LeakyRelu: unary((b, c) => c("Mul", b.dy, where(b, c("Less", b.x(0), 0), b.floatOf("alpha", 0.01), 1))),
  ThresholdedRelu: unary((b, c) => where(b, c("Greater", b.x(0), b.floatOf("alpha", 1)), b.dy)),
  Elu: unary((b, c) => {
    const alpha = b.floatOf("alpha", 1);
    return c("Mul", b.dy, where(b, c("Less", b.x(0), 0), c("Mul", c("Exp", b.x(0)), alpha), 1));
  }),
  Selu: unary((b, c) => {
    const [alpha, gamma] = [b.floatOf("alpha", 1.6732631921768188), b.floatOf("gamma", 1.0507010221481323)];
    return c("Mul", b.dy, where(b, c("LessOrEqual", b.x(0), 0), c("Mul", c("Exp", b.x(0)), alpha * gamma), gamma));
  }),
  Celu: unary((b, c) => {
    const slope = c("Exp", c("Div", b.x(0), b.floatOf("alpha", 1)));
    return c("Mul", b.dy, where(b, c("Less", b.x(0), 0), slope, 1));
  }),
  HardSigmoid: unary((b, c) => {
    const inside = b.add("And", [c("Greater", b.y(), 0), c("Less", b.y(), 1)]);
    return where(b, inside, c("Mul", b.dy, b.floatOf("alpha", 0.2)));
  }),
  HardSwish: unary((b, c) => {
    const x = b.x(0);
    const between = where(b, c("Less", x, 3), c("Add", c("Div", x, 3), 0.5), 1);
    return c("Mul", b.dy, where(b, c("Greater", x, -3), between));
  }),
  Swish: unary((b, c) => {
    const [x, alpha] = [b.x(0), b.floatOf("alpha", 1)];
    const scaled = alpha === 1 ? x : c("Mul", x, alpha);
    const gate = c("Sigmoid", scaled);
    return c("Mul", b.dy, c("Mul", gate, c("Add", c("Mul", scaled, c("Sub", 1, gate)), 1)));
  }),
  Mish: unary((b, c) => {
    const x = b.x(0);
    const gate = c("Tanh", c("Softplus", x));
    const slope = c("Mul", c("Mul", x, c("Sigmoid", x)), c("Sub", 1, c("Mul", gate, gate)));
    return c("Mul", b.dy, c("Add", gate, slope));
  }),
  Gelu: unary((b, c) => {
    const x = b.x(0);
    const square = c("Mul", x, x);
    if (b.textOf("approximate", "none") !== "tanh") {
      const normal = c("Mul", c("Add", c("Erf", c("Mul", x, Math.SQRT1_2)), 1), 0.5);
      const density = c("Mul", c("Exp", c("Mul", square, -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return c("Mul", b.dy, c("Add", normal, c("Mul", x, density)));
    }
    const root = Math.sqrt(2 / Math.PI);
    const gate = c("Tanh", c("Mul", x, c("Add", c("Mul", square, 0.044715 * root), root)));
    const inner = c("Add", c("Mul", square, 3 * 0.044715 * root), root);
    const slope = c("Mul", c("Mul", x, c("Sub", 1, c("Mul", gate, gate))), inner);
    return c("Mul", b.dy, c("Mul", c("Add", c("Add", gate, 1), slope), 0.5));
  }),
  Shrink: unary((b, c) => {
    const limit = b.floatOf("lambd", 0.5);
    return where(b, c("Greater", c("Abs", b.x(0)), limit), b.dy);
  }),
  PRelu: broadcasting(
    (b, c) => where(b, c("Less", b.x(0), 0), c("Mul", b.dy, b.x(1)), b.dy),
    (b, c) => where(b, c("Less", b.x(0), 0), c("Mul", b.dy, b.x(0))),
  ),
  Clip: (b) => [
    () => {
      const bounds = ([1, 2] as const).flatMap((i) => {
        const bound = b.input(i);
        return bound === undefined ? [] : [{ bound, sign: i === 1 ? 1 : -1, known: b.constantFloats(bound)?.[0] }];
      });
      return bounds.reduce((dy, { bound, sign, known }) => {
        if (known !== undefined && Math.abs(known) < MOST) return b.calc("Mul", dy, isAbove(b, b.y(), known, sign));
        return where(b, b.calc(sign > 0 ? "Less" : "Greater", b.x(0), bound), 0, dy);
      }, b.dy);
    },
    () => b.reduce("ReduceSum", where(b, b.calc("Less", b.x(0), b.x(1)), b.dy), all(b), false),
    () => b.reduce("ReduceSum", where(b, b.calc("Greater", b.x(0), b.x(2)), b.dy), all(b), false),
  ],
};

const all = (b: GradientBuilder) => Array.from({ length: b.rank(b.x(0)) }, (_, i) => i);

const arithmetic: GradientRules = {
  Add: broadcasting(
    (b) => b.dy,
    (b) => b.dy,
  ),
  Sub: broadcasting(
    (b) => b.dy,
    (b, c) => c("Neg", b.dy),
  ),
  Mul: broadcasting(
    (b, c) => c("Mul", b.dy, b.x(1)),
    (b, c) => c("Mul", b.dy, b.x(0)),
  ),
  Div: broadcasting(
    (b, c) => c("Div", b.dy, b.x(1)),
    (b, c) => c("Neg", c("Mul", b.dy, c("Div", b.y(), b.x(1)))),
  ),
  Mod: broadcasting(
    (b) => b.dy,
    (b, c) => c("Neg", c("Mul", b.dy, c("Round", c("Div", c("Sub", b.x(0), b.y()), b.x(1))))),
  ),
  Pow: (b) => {
    const [x, exponent, c] = [b.x(0), b.x(1), b.calc];
    const of = (v: number | string) => (typeof v === "number" ? v : b.cast(v, b.real));
    const known = b.constantFloats(exponent) ?? b.constantInts(exponent);
    const only = known?.length === 1 ? known[0] : undefined;
    return [
      () => {
        if (only === 2) return b.sumTo(c("Mul", b.dy, c("Mul", x, 2)), b.y(), x);
        const lower = only === undefined ? c("Sub", of(exponent), 1) : only - 1;
        return b.sumTo(c("Mul", b.dy, c("Mul", c("Pow", x, lower), of(only ?? exponent))), b.y(), x);
      },
      // Where the base is 0 the result does not move with the exponent.
      () => {
        const positive = c("Greater", x, 0);
        const log = c("Log", where(b, positive, x, 1));
        return b.sumTo(c("Mul", b.dy, c("Mul", b.cast(b.y(), b.real), log)), b.y(), exponent);
      },
    ];
  },
  Where: (b) => [
    undefined,
    () => b.sumTo(where(b, b.x(0), b.dy), b.y(), b.x(1)),
    () => b.sumTo(where(b, b.x(0), 0, b.dy), b.y(), b.x(2)),
  ],
  Sum: (b) => b.node.inputs.map((v) => () => b.sumTo(b.dy, b.y(), v)),
  Mean: (b) => b.node.inputs.map((v) => () => b.sumTo(b.calc("Div", b.dy, b.node.inputs.length), b.y(), v)),
  Max: extreme(),
  Min: extreme(),
  Cast: (b) => {
    const to = dtypeOf(b.intOf("to", 1));
    return to !== undefined && isFloat(to) ? [() => b.cast(b.dy, b.dtype(b.x(0)))] : [];
  },
  CastLike: (b) => (isFloat(b.dtype(b.y())) ? [() => b.cast(b.dy, b.dtype(b.x(0)))] : []),
  Dropout: (b) => [
    () => {
      const training = b.input(2);
      if (training === undefined) return b.dy;
      const ratio = b.input(1);
      const keep = ratio === undefined ? 0.5 : b.calc("Sub", 1, b.cast(ratio, b.real));
      return b.add("Where", [training, b.calc("Div", where(b, b.y(1), b.dy), keep), b.dy]);
    },
  ],
};

/** Where several operands are equal, each takes an equal part. */
function extreme(): GradientRule {
  return (b) => {
    const { inputs } = b.node;
    if (inputs.length === 1) return [() => b.dy];
    let shared: { readonly equal: readonly string[]; readonly part: string } | undefined;
    const parts = () => {
      if (shared) return shared;
      const equal = inputs.map((v) => b.cast(b.add("Equal", [v, b.y()]), b.real));
      const count = inputs.length === 2 ? b.add("Add", equal) : b.add("Sum", equal);
      return (shared = { equal, part: b.calc("Div", b.dy, count) });
    };
    return inputs.map((v, i) => () => b.sumTo(b.calc("Mul", parts().part, parts().equal[i]!), b.y(), v));
  };
}

export const elementwise: GradientRules = { ...steps, ...functions, ...activations, ...arithmetic };
