import { attr, type Dim, type DType, type Node, tensor } from "@pare/core";
import { type Builder, builderOf, type Scope } from "../lower/builder.ts";

/** A value, or a number that becomes a constant of the type in which gradients are computed here. */
export type Operand = string | number;

/**
 * Writes the nodes of the gradient of one node. The gradient of a value is what the loss changes by when the value does:
 * it has the value's shape.
 */
export interface GradientBuilder extends Builder {
  /** Gradient of an output; undefined where the loss does not depend on it. */
  dyOf(index: number): string | undefined;
  /** Gradient of the first output; zeros where the loss depends on others only. */
  readonly dy: string;
  /** Element type of the gradients. */
  readonly real: DType;
  /** An input that must be there. */
  x(index: number): string;
  /** An output as the model computes it. The node gets it where it has none yet. */
  y(index?: number): string;
  /** A node on operands: `calc("Mul", dy, 2)`. */
  calc(op: string, ...operands: readonly Operand[]): string;
  /** Integers that are known without running: constants, and what is computed from shapes. */
  knownInts(value: string): readonly number[] | undefined;
  /** Dimensions that are all known. */
  sizes(value: string): readonly number[];
  /** A reduction over axes that stay as 1, or are dropped. */
  reduce(op: string, value: string, axes: readonly number[], keepdims?: boolean): string;
  transpose(value: string, perm: readonly number[]): string;
  /** The value in the shape of another, which has as many elements. */
  reshapeLike(value: string, like: string): string;
  reshape(value: string, shape: readonly number[]): string;
  /** The shape of a value as a tensor: a constant where it is known. */
  shapeTensor(value: string): string;
  zerosLike(value: string): string;
  /** What the forward form of the operator kept for its gradient. */
  saved(name: string): string;
  /** The formulation that is asked for where there are several: for measurements and tests. */
  formulation(of: string): string | undefined;
  /** Sums a value in the shape of `from` over what was repeated of `to`; with `matrices` all but the last two axes. */
  sumTo(value: string, from: string, to: string, matrices?: boolean): string;
}

/** For each input how its gradient is made, if it has one. Made only where it is wanted. */
export type GradientRule = (b: GradientBuilder) => readonly ((() => string) | undefined)[];
export type GradientRules = Readonly<Record<string, GradientRule>>;

export interface GradientScope extends Scope {
  gradientOf(output: string): string | undefined;
  /** The name of an output of the node that may have none yet. */
  output(node: Node, index: number): string;
  /** Values that forward forms kept, by node and name. */
  saved(node: Node, name: string): string | undefined;
  readonly formulations: ReadonlyMap<string, string>;
}

export function gradientBuilder(n: Node, scope: GradientScope): GradientBuilder {
  const base = builderOf(n, scope);
  const known = n.outputs.map((name) => (name ? scope.gradientOf(name) : undefined));
  const real = base.dtype(known.find((v) => v !== undefined)!);
  let zeros: string | undefined;
  const b: GradientBuilder = Object.defineProperties({} as GradientBuilder, {
    ...Object.getOwnPropertyDescriptors(base),
    ...Object.getOwnPropertyDescriptors({
      real,
      dyOf: (index: number) => known[index],
      get dy() {
        return known[0] ?? (zeros ??= b.zerosLike(b.y()));
      },
      x: (index: number) => base.input(index) ?? base.refuse(`it lacks its input ${index}`),
      y(index = 0) {
        return scope.output(n, index);
      },
      calc: (op: string, ...operands: readonly Operand[]) =>
        base.add(
          op,
          operands.map((v) => (typeof v === "number" ? base.float(v, real) : v)),
        ),
      knownInts(value: string) {
        const elements = base.elements(value);
        return isSizes(elements) ? elements : undefined;
      },
      sizes(value: string) {
        const dims = base.shape(value);
        return isSizes(dims)
          ? dims
          : base.refuse(`the shape of ${value} is not known: fix the dimensions of the inputs`);
      },
      reduce: (op: string, value: string, axes: readonly number[], keepdims = true) =>
        axes.length === 0 ? value : base.add(op, [value, base.ints(axes)], keepdims ? {} : { keepdims: attr.int(0) }),
      transpose: (value: string, perm: readonly number[]) =>
        perm.every((p, i) => p === i) ? value : base.add("Transpose", [value], { perm: attr.ints(perm) }),
      reshapeLike: (value: string, like: string) => base.add("Reshape", [value, b.shapeTensor(like)]),
      reshape: (value: string, shape: readonly number[]) => base.add("Reshape", [value, base.ints(shape)]),
      shapeTensor(value: string) {
        const dims = base.shape(value);
        return isSizes(dims) ? base.ints(dims) : base.dims(value, 0);
      },
      zerosLike: (value: string) =>
        base.add("ConstantOfShape", [b.shapeTensor(value)], { value: attr.tensor(zeroOf(real)) }),
      saved: (name: string) => scope.saved(n, name) ?? base.refuse(`it kept no ${name}`),
      formulation: (of: string) => scope.formulations.get(of),
      sumTo(value: string, from: string, to: string, matrices = false) {
        const axes = repeatedAxes(b, from, to, matrices ? 2 : 0);
        if (typeof axes === "string") {
          const noop = { noop_with_empty_axes: attr.int(1) };
          return b.reshapeLike(base.add("ReduceSum", [value, axes], noop), to);
        }
        const extra = base.rank(from) - base.rank(to);
        if (axes.length === extra) return b.reduce("ReduceSum", value, axes, false);
        const summed = b.reduce("ReduceSum", value, axes);
        return extra === 0 ? summed : b.reshapeLike(summed, to);
      },
    }),
  });
  return b;
}

export const isSizes = (dims: readonly Dim[] | undefined): dims is readonly number[] =>
  dims?.every((d) => typeof d === "number") ?? false;

const zeroOf = (dtype: DType) => tensor(dtype, [1], [0]);

/**
 * Axes of `from` along which `to` was repeated, but for the `last`: numbers, or where that is known only when the model
 * runs a value that holds them.
 */
function repeatedAxes(b: Builder, from: string, to: string, last: number): number[] | string {
  const [wide, narrow] = [b.shape(from), b.shape(to)];
  if (!wide || !narrow) return b.refuse(`the number of dimensions of ${wide ? to : from} is not known`);
  const extra = wide.length - narrow.length;
  const axes: number[] = [];
  for (const [i, dim] of wide.slice(0, wide.length - last).entries()) {
    const own = i < extra ? 1 : narrow[i - extra]!;
    if (i < extra || (own === 1 && dim !== 1)) axes.push(i);
    else if (typeof own !== "number" && (own === null || own !== dim)) return differing(b, from, to, extra, last);
  }
  return axes;
}

function differing(b: Builder, from: string, to: string, extra: number, last: number): string {
  const end = last === 0 ? undefined : -last;
  const own = b.dims(to, 0, end);
  const padded = extra === 0 ? own : b.add("Concat", [b.ints(Array(extra).fill(1)), own], { axis: attr.int(0) });
  const differs = b.add("Not", [b.add("Equal", [b.dims(from, 0, end), padded])]);
  return b.add("Reshape", [b.add("NonZero", [differs]), b.ints([-1])]);
}
