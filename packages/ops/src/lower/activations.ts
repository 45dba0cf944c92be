import { attr } from "@pare/core";
import { dtypeOf } from "../dtype-codes.ts";
import type { Builder, Lower } from "./builder.ts";

export const hardSwish: Lower = (b) => {
  const x = b.input(0)!;
  b.give("Mul", [x, b.add("HardSigmoid", [x], { alpha: attr.float(1 / 6), beta: attr.float(0.5) })]);
};

export const mish: Lower = (b) => {
  const x = b.input(0)!;
  b.give("Mul", [x, b.add("Tanh", [b.add("Softplus", [x])])]);
};

export const swish: Lower = (b) => {
  const x = b.input(0)!;
  const alpha = b.floatOf("alpha", 1);
  b.give("Mul", [x, b.add("Sigmoid", [alpha === 1 ? x : b.add("Mul", [x, b.float(alpha, b.dtype(x))])])]);
};

/** 0.5 x (1 + erf(x / sqrt 2)), or its approximation by tanh. */
export const gelu: Lower = (b) => {
  const x = b.input(0)!;
  const num = (v: number) => b.float(v, b.dtype(x));
  let part: string;
  if (b.textOf("approximate", "none") === "tanh") {
    const cubic = b.add("Mul", [num(0.044715), b.add("Pow", [x, num(3)])]);
    part = b.add("Tanh", [b.add("Mul", [num(Math.sqrt(2 / Math.PI)), b.add("Add", [x, cubic])])]);
  } else part = b.add("Erf", [b.add("Div", [x, num(Math.SQRT2)])]);
  b.give("Mul", [b.add("Mul", [x, b.add("Add", [part, num(1)])]), num(0.5)]);
};

/** A draw below the probability is 1. */
export const bernoulli: Lower = (b) => {
  const p = b.input(0)!;
  const seed = b.attribute("seed", "float");
  const draw = b.add("RandomUniformLike", [p], seed === undefined ? {} : { seed: attr.float(seed) });
  const dtype = dtypeOf(b.intOf("dtype", 0));
  giveCast(b, b.add("Less", [draw, p]), dtype ?? b.dtype(p));
};

const giveCast = (b: Builder, v: string, dtype: Parameters<Builder["cast"]>[1]) =>
  b.give("Identity", [b.cast(v, dtype)]);

/** A sum of cosines: a[0] - a[1] cos t + a[2] cos 2t. */
export const cosineWindow =
  (...a: readonly number[]): Lower =>
  (b) => {
    const num = (v: number) => b.float(v, "float32");
    const size = b.cast(b.input(0)!, "float32");
    const length = b.intOf("periodic", 1) === 1 ? size : b.add("Sub", [size, num(1)]);
    const step = b.add("Div", [num(2 * Math.PI), length]);
    const angle = b.add("Mul", [b.add("Range", [num(0), size, num(1)]), step]);
    const cosine = (k: number) =>
      b.add("Mul", [num(a[k]!), b.add("Cos", [k === 1 ? angle : b.add("Mul", [angle, num(k)])])]);
    const first = b.add("Sub", [num(a[0]!), cosine(1)]);
    const sum = a.length > 2 ? b.add("Add", [first, cosine(2)]) : first;
    giveCast(b, sum, dtypeOf(b.intOf("output_datatype", 1)) ?? b.refuse("its output_datatype is no element type"));
  };
