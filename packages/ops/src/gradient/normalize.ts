import { attr, tensor } from "@pare/core";
import type { Builder } from "../lower/builder.ts";
import { reduce } from "../lower/reduce.ts";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
const but = (rank: number, ...axes: readonly number[]) => range(0, rank).filter((i) => !axes.includes(i));

/** The gradient through (x - mean) / deviation, both over `axes`, where `normal` is the result and `dn` its gradient. */
function standardised(
  b: GradientBuilder,
  normal: string,
  dn: string,
  inverse: string,
  axes: readonly number[],
): string {
  const mean = b.reduce("ReduceMean", dn, axes);
  const along = b.reduce("ReduceMean", b.calc("Mul", dn, normal), axes);
  return b.calc("Mul", b.calc("Sub", b.calc("Sub", dn, mean), b.calc("Mul", normal, along)), inverse);
}

/** A value that is made when it is first asked for. */
function once(make: () => string): () => string {
  let made: string | undefined;
  return () => (made ??= make());
}

const layerNormalization: GradientRule = (b) => {
  const [x, scale] = [b.x(0), b.x(1)];
  const rank = b.rank(x);
  const axis = b.intOf("axis", -1);
  const axes = range(axis < 0 ? axis + rank : axis, rank);
  const inverse = once(() => b.cast(b.y(2), b.real));
  const normal = once(() => b.calc("Mul", b.calc("Sub", x, b.cast(b.y(1), b.real)), inverse()));
  return [
    () => standardised(b, normal(), b.calc("Mul", b.dy, scale), inverse(), axes),
    () => b.sumTo(b.calc("Mul", b.dy, normal()), x, scale),
    () => b.sumTo(b.dy, x, b.x(2)),
  ];
};

/** The input brought to mean 0 and variance 1 over axes, and one over its deviation. */
function standardise(b: GradientBuilder, axes: readonly number[], epsilon: number) {
  const centred = once(() => b.calc("Sub", b.x(0), b.reduce("ReduceMean", b.x(0), axes)));
  const inverse = once(() => {
    const variance = b.reduce("ReduceMean", b.calc("Mul", centred(), centred()), axes);
    return b.calc("Reciprocal", b.calc("Sqrt", b.calc("Add", variance, epsilon)));
  });
  return { inverse, normal: once(() => b.calc("Mul", centred(), inverse())) };
}

/** A list of numbers for channels as [C, 1, ...]. */
const byChannel = (b: Builder, v: string, rank: number) =>
  rank <= 2 ? v : b.add("Reshape", [v, b.ints([-1, ...Array<number>(rank - 2).fill(1)])]);

const instanceNormalization: GradientRule = (b) => {
  const rank = b.rank(b.x(0));
  const axes = range(2, rank);
  const { normal, inverse } = standardise(b, axes, b.floatOf("epsilon", 1e-5));
  return [
    () => standardised(b, normal(), b.calc("Mul", b.dy, byChannel(b, b.x(1), rank)), inverse(), axes),
    () => b.reduce("ReduceSum", b.calc("Mul", b.dy, normal()), but(rank, 1), false),
    () => b.reduce("ReduceSum", b.dy, but(rank, 1), false),
  ];
};

/** In evaluation a linear function of each channel; in training see {@link batchNormalizationForward}. */
const batchNormalization: GradientRule = (b) => {
  const [x, scale] = [b.x(0), b.x(1)];
  const rank = b.rank(x);
  const axes = but(rank, 1);
  const each = (v: string) => byChannel(b, v, rank);
  const sum = once(() => b.reduce("ReduceSum", b.dy, axes, false));
  if (b.intOf("training_mode", 0) === 1) {
    const [centred, inverse, variance] = [b.saved("centred"), b.saved("inverse"), b.saved("variance")];
    // Sum of dy * (x - mean); with 1 / deviation it is the gradient of the scale.
    const along = once(() => b.reduce("ReduceSum", b.calc("Mul", b.dy, centred), axes, false));
    return [
      // scale / deviation * (dy - mean of dy - (x - mean) / variance * mean of dy (x - mean)): the last step is again one.
      () => {
        const count = b.cast(b.saved("count"), b.real);
        const slope = b.calc("Neg", b.calc("Div", b.calc("Mul", b.calc("Mul", inverse, inverse), along()), count));
        const bent = b.calc("Add", b.dy, b.calc("Mul", centred, each(slope)));
        const zero = b.zerosLike(scale);
        return b.add("BatchNormalization", [bent, scale, zero, b.calc("Div", sum(), count), variance], {
          epsilon: attr.float(b.floatOf("epsilon", 1e-5)),
        });
      },
      () => b.calc("Mul", along(), inverse),
      () => sum(),
    ];
  }
  const inverse = once(() =>
    b.calc("Reciprocal", b.calc("Sqrt", b.calc("Add", b.cast(b.x(4), b.real), b.floatOf("epsilon", 1e-5)))),
  );
  const along = once(() => {
    const centred = b.calc("Sub", x, each(b.cast(b.x(3), b.real)));
    return b.calc("Mul", b.reduce("ReduceSum", b.calc("Mul", b.dy, centred), axes, false), inverse());
  });
  const factor = once(() => b.calc("Mul", scale, inverse()));
  return [
    () => b.calc("Mul", b.dy, each(factor())),
    () => along(),
    () => sum(),
    () => b.calc("Neg", b.calc("Mul", sum(), factor())),
    () => b.calc("Mul", b.calc("Mul", b.calc("Mul", along(), factor()), inverse()), -0.5),
  ];
};

/**
 * BatchNormalization in training in operators that engines have: the statistics of the batch, and running ones that move
 * towards them. It keeps what its gradient needs. (Ioffe & Szegedy 2015, arXiv:1502.03167; ONNX 1.22.)
 */
export function batchNormalizationForward(b: Builder, save: (name: string, value: string) => void): boolean {
  if (b.intOf("training_mode", 0) !== 1) return false;
  const [x, scale, bias, mean, variance] = range(0, 5).map((i) => b.input(i)!) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const rank = b.rank(x);
  const axes = but(rank, 1);
  const dtype = b.dtype(x);
  const dims = axes.map((a) => b.shape(x)![a]);
  const count = dims.every((d): d is number => typeof d === "number")
    ? b.float(
        dims.reduce((n, d) => n * d, 1),
        dtype,
      )
    : b.cast(b.add("ReduceProd", [b.add("Gather", [b.dims(x, 0), b.ints(axes)])], { keepdims: attr.int(0) }), dtype);
  const now = reduce(b, "ReduceMean", x, axes, 0);
  const centred = b.add("Sub", [x, byChannel(b, now, rank)]);
  const spread = b.add("Div", [reduce(b, "ReduceSumSquare", centred, axes, 0), count]);
  const epsilon = b.floatOf("epsilon", 1e-5);
  const inverse = b.add("Reciprocal", [b.add("Sqrt", [b.add("Add", [spread, b.float(epsilon, dtype)])])]);
  // With the statistics of the batch it is what engines have for evaluation.
  b.add("BatchNormalization", [x, scale, bias, now, spread], { epsilon: attr.float(epsilon) }, [b.node.outputs[0]!]);
  const momentum = b.floatOf("momentum", 0.9);
  const moved = (before: string, value: string, output: string | undefined) => {
    if (!output) return;
    const type = b.dtype(before);
    const kept = b.add("Mul", [before, b.float(momentum, type)]);
    b.add("Add", [kept, b.add("Mul", [b.cast(value, type), b.float(1 - momentum, type)])], {}, [output]);
  };
  moved(mean, now, b.node.outputs[1]);
  moved(variance, spread, b.node.outputs[2]);
  save("centred", centred);
  save("inverse", inverse);
  save("variance", spread);
  save("count", count);
  return true;
}

/** y = x s^-beta with s = bias + alpha / size * (sum of squares of the channels around). */
const localResponse: GradientRule = (b) => [
  () => {
    const x = b.x(0);
    const dims = b.sizes(x);
    const [channels, size] = [dims[1]!, b.intOf("size", 1)];
    const [alpha, beta, bias] = [b.floatOf("alpha", 1e-4), b.floatOf("beta", 0.75), b.floatOf("bias", 1)];
    const [below, above] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const band = Float32Array.from({ length: channels * channels }, (_, i) => {
      const distance = (i % channels) - Math.floor(i / channels);
      return distance >= -below && distance <= above ? 1 : 0;
    });
    const matrix = b.cast(b.constant(tensor("float32", [channels, channels], band)), b.real);
    const flat = (v: string) => b.reshape(v, [dims[0]!, channels, -1]);
    const around = (m: string, v: string) => b.reshapeLike(b.add("MatMul", [m, flat(v)]), x);
    const s = b.calc("Add", b.calc("Mul", around(matrix, b.calc("Mul", x, x)), alpha / size), bias);
    const power = b.calc("Pow", s, -beta);
    const back = around(b.transpose(matrix, [1, 0]), b.calc("Mul", b.dy, b.calc("Div", b.calc("Mul", x, power), s)));
    const bent = b.calc("Mul", b.calc("Mul", x, back), (-2 * alpha * beta) / size);
    return b.calc("Add", b.calc("Mul", b.dy, power), bent);
  },
];

export const normalizations: GradientRules = {
  LayerNormalization: layerNormalization,
  InstanceNormalization: instanceNormalization,
  BatchNormalization: batchNormalization,
  LRN: localResponse,
  MeanVarianceNormalization: (b) => [
    () => {
      const axes = b.intsOf("axes") ?? [0, 2, 3];
      const { normal, inverse } = standardise(b, axes, 1e-18);
      return standardised(b, normal(), b.dy, inverse(), axes);
    },
  ],
  LpNormalization: (b) => [
    () => {
      const axes = [b.intOf("axis", -1)];
      const p = b.intOf("p", 2);
      const norm = b.reduce(p === 1 ? "ReduceL1" : "ReduceL2", b.x(0), axes);
      const along = b.reduce("ReduceSum", b.calc("Mul", b.dy, b.y()), axes);
      const direction = p === 1 ? b.calc("Sign", b.x(0)) : b.y();
      return b.calc("Div", b.calc("Sub", b.dy, b.calc("Mul", direction, along)), norm);
    },
  ],
};
