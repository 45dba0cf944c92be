import {
  attribute,
  type DType,
  failure,
  intAttribute,
  intsAttribute,
  isFloat,
  type Node,
  type ResidentTensor,
} from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import type { Tensor, Tf } from "../engine.ts";
import { isComputed } from "../held.ts";

/** What a rule is given: the node, and its inputs on the side where the rule wants them. */
export interface Call {
  readonly tf: Tf;
  readonly node: Node;
  /** Element types of inputs and outputs as the model has them. */
  readonly inputs: readonly (DType | undefined)[];
  readonly outputs: readonly (DType | undefined)[];
  readonly tensors: readonly (Tensor | undefined)[];
  /** Inputs that the rule reads, by position. */
  readonly read: ReadonlyMap<number, ResidentTensor>;
  /** Whether TensorFlow.js takes gradients: not all of its operations have them in all forms. */
  readonly watched: boolean;
  /** A tensor as one that no gradient goes through: what a rule chooses by. */
  apart(x: Tensor): Tensor;
  /** What a rule makes of an input and wants again where that is a weight. */
  kept(input: number, what: string, make: (x: Tensor) => Tensor): Tensor;
}

/** An output: a tensor of TensorFlow.js, or a value that does not depend on one. */
export type Result = Tensor | ResidentTensor;

/** Says one node in operations of TensorFlow.js. */
export interface Rule {
  readonly compute: (c: Call) => Result | readonly (Result | undefined)[];
  /** Inputs whose elements the rule has to know. */
  readonly reads: readonly number[];
  /** Whether TensorFlow.js computes it for these element types; elsewhere it is evaluated, exactly. */
  readonly takes: (inputs: readonly (DType | undefined)[], outputs: readonly (DType | undefined)[]) => boolean;
}

export type Rules = Readonly<Record<string, Rule>>;

/** A rule for numbers that are computed with. */
export const floats = (compute: Rule["compute"], ...reads: readonly number[]): Rule => ({
  compute,
  reads,
  takes: ([x]) => isComputed(x),
});

/** A rule that only moves, chooses or compares. */
export const all = (compute: Rule["compute"], ...reads: readonly number[]): Rule => ({
  compute,
  reads,
  takes: () => true,
});

/** Computed on integers only, or choosing places only: left to the evaluator. */
export const evaluated: Rule = { compute: () => [], reads: [], takes: () => false };

/** An input that must be there. */
export function input(c: Call, index: number): Tensor {
  const found = c.tensors[index];
  if (!found) throw failure("tfjs/refused", `${c.node.op} lacks its input ${index}`);
  return found;
}

/** The numbers of an input that the rule reads; undefined where it was left out. */
export function numbers(c: Call, index: number): number[] | undefined {
  const t = c.read.get(index);
  return t && Array.from(numbersOf(t));
}

export function numbersIn(c: Call, index: number): number[] {
  const found = numbers(c, index);
  if (!found) throw failure("tfjs/refused", `${c.node.op} lacks its input ${index}`);
  return found;
}

type Attributed = Pick<Call, "node">;
export const int = ({ node }: Attributed, name: string, fallback: number): number => intAttribute(node, name, fallback);
export const ints = ({ node }: Attributed, name: string): readonly number[] | undefined => intsAttribute(node, name);
export const float = ({ node }: Attributed, name: string, fallback: number): number =>
  attribute(node, name, "float") ?? fallback;
export const text = ({ node }: Attributed, name: string, fallback: string): string =>
  String(attribute(node, name, "string") ?? fallback);

/** An axis counted from the end where it is negative. */
export function wholeAxis(axis: number, rank: number): number {
  const whole = axis < 0 ? axis + rank : axis;
  if (!(whole >= 0 && whole < Math.max(1, rank))) throw failure("tfjs/refused", `axis ${axis} is not one of ${rank}`);
  return whole;
}

export const refuse = (why: string): never => {
  throw failure("tfjs/refused", why);
};

/** Kernels take numbers: truth values go as 0 and 1 where they are only moved. */
export function moved(tf: Tf, x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  if (x.dtype !== "bool") return f(x);
  return tf.cast(f(tf.cast(x, "int32")), "bool");
}

export { isFloat };
