import { attr } from "@pare/core";
import { LAST } from "../lower/builder.ts";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";

/** The axes that a reduction reduces, and its values as they are where those stay as 1. */
interface Reduction {
  readonly b: GradientBuilder;
  readonly axes: readonly number[];
  readonly dy: string;
  y(): string;
}

/** A reduction's gradient in the shape of its input, or one that broadcasts to it. */
const reduction =
  (make: (r: Reduction) => string): GradientRule =>
  (b) => [
    () => {
      const [x, given] = [b.x(0), b.input(1)];
      const rank = b.rank(x);
      const list =
        given === undefined ? [] : (b.knownInts(given) ?? b.refuse("its axes are known only when the model runs"));
      const nothing = list.length === 0 && b.intOf("noop_with_empty_axes", 0) !== 0;
      const axes = nothing ? [] : list.length === 0 ? range(rank) : list.map((a) => (a < 0 ? a + rank : a));
      // A scalar broadcasts as it is.
      const dropped = b.intOf("keepdims", 1) === 0 && axes.length > 0 && axes.length < rank;
      const kept = (v: string) => (dropped ? b.add("Unsqueeze", [v, b.ints([...axes].sort((p, q) => p - q))]) : v);
      let y: string | undefined;
      const dy = kept(b.dy);
      const made = make({ b, axes, dy, y: () => (y ??= kept(b.y())) });
      return made === dy ? b.add("Expand", [made, b.shapeTensor(x)]) : made;
    },
  ];

const range = (to: number) => Array.from({ length: to }, (_, i) => i);

/** How many elements make one, as a value. */
function countOf({ b, axes }: Reduction): number | string {
  const dims = axes.map((a) => b.shape(b.x(0))?.[a]);
  if (dims.every((d): d is number => typeof d === "number")) return dims.reduce((n, d) => n * d, 1);
  const sizes = b.add("Gather", [b.add("Shape", [b.x(0)]), b.ints(axes)]);
  return b.cast(b.add("ReduceProd", [sizes], { keepdims: attr.int(0) }), b.real);
}

/** Gradient in equal parts to all that are equal to the result. */
const extreme = reduction(({ b, axes, dy, y }) => {
  const equal = b.cast(b.add("Equal", [b.x(0), y()]), b.real);
  return b.calc("Mul", equal, b.calc("Div", dy, b.reduce("ReduceSum", equal, axes)));
});

/** Products of all others, zeros among them too. */
const product = reduction(({ b, axes, dy }) => {
  const [x, c] = [b.x(0), b.calc];
  const isZero = c("Equal", x, 0);
  const filled = b.add("Where", [isZero, b.float(1, b.real), x]);
  const all = b.reduce("ReduceProd", filled, axes);
  const zeros = b.reduce("ReduceSum", b.cast(isZero, b.real), axes);
  const when = (count: number) => c("Mul", all, b.cast(c("Equal", zeros, count), b.real));
  return c("Mul", dy, b.add("Where", [isZero, when(1), c("Div", when(0), filled)]));
});

const reductions: GradientRules = {
  ReduceSum: reduction(({ dy }) => dy),
  ReduceMean: reduction((r) => r.b.add("Expand", [r.b.calc("Div", r.dy, countOf(r)), r.b.shapeTensor(r.b.x(0))])),
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceProd: product,
  ReduceL1: reduction(({ b, dy }) => b.calc("Mul", dy, b.calc("Sign", b.x(0)))),
  ReduceL2: reduction(({ b, dy, y }) => {
    // Where all are 0 the root has no slope: 0.
    const norm = y();
    const safe = b.add("Where", [b.calc("Equal", norm, 0), b.float(1, b.real), norm]);
    return b.calc("Mul", b.x(0), b.calc("Div", dy, safe));
  }),
  ReduceLogSum: reduction(({ b, dy, y }) =>
    b.add("Expand", [b.calc("Div", dy, b.calc("Exp", y())), b.shapeTensor(b.x(0))]),
  ),
  ReduceLogSumExp: reduction(({ b, dy, y }) => b.calc("Mul", dy, b.calc("Exp", b.calc("Sub", b.x(0), y())))),
  ReduceSumSquare: reduction(({ b, dy }) => b.calc("Mul", b.x(0), b.calc("Mul", dy, 2))),
};

const softmax: GradientRules = {
  Softmax: (b) => [
    () => {
      const weighed = b.calc("Mul", b.dy, b.y());
      const sum = b.reduce("ReduceSum", weighed, [b.intOf("axis", -1)]);
      return b.calc("Sub", weighed, b.calc("Mul", b.y(), sum));
    },
  ],
  LogSoftmax: (b) => [
    () => {
      const sum = b.reduce("ReduceSum", b.dy, [b.intOf("axis", -1)]);
      return b.calc("Sub", b.dy, b.calc("Mul", b.calc("Exp", b.y()), sum));
    },
  ],
};

const along: GradientRules = {
  CumSum: (b) => [
    () =>
      b.add("CumSum", [b.dy, b.x(1)], {
        exclusive: attr.int(b.intOf("exclusive", 0)),
        reverse: attr.int(b.intOf("reverse", 0) === 0 ? 1 : 0),
      }),
  ],
  TopK: (b) => [
    () => b.add("ScatterElements", [b.zerosLike(b.x(0)), b.y(1), b.dy], { axis: attr.int(b.intOf("axis", -1)) }),
  ],
  Trilu: (b) => [() => b.add("Trilu", [b.dy, b.input(1)], { upper: attr.int(b.intOf("upper", 1)) })],
  ReverseSequence: (b) => [
    () =>
      b.add("ReverseSequence", [b.dy, b.x(1)], {
        batch_axis: attr.int(b.intOf("batch_axis", 1)),
        time_axis: attr.int(b.intOf("time_axis", 0)),
      }),
  ],
  ArgMax: () => [],
  ArgMin: () => [],
};

/** Exported for what follows an axis backwards. */
export const reversed = (b: GradientBuilder, v: string, axes: readonly number[]) =>
  axes.length === 0
    ? v
    : b.add("Slice", [
        v,
        b.ints(axes.map(() => -1)),
        b.ints(axes.map(() => -LAST)),
        b.ints(axes),
        b.ints(axes.map(() => -1)),
      ]);

export const reductionRules: GradientRules = { ...reductions, ...softmax, ...along };
