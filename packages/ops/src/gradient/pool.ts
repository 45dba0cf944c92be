import { attr, tensor } from "@pare/core";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";
import { isNotBelow } from "./elementwise.ts";
import { type Geometry, geometryOf } from "./window.ts";

const product = (sizes: readonly number[]) => sizes.reduce((n, s) => n * s, 1);

const windowOf = (b: GradientBuilder): Required<{ [K in keyof Geometry]: NonNullable<Geometry[K]> }> => {
  const kernel = b.intsOf("kernel_shape") ?? b.refuse("it has no kernel_shape");
  const g = geometryOf(b, b.x(0), b.y(), kernel);
  if (!g.input || !g.output) return b.refuse(`the size of ${b.x(0)} is not known: fix the dimensions of the inputs`);
  return { ...g, input: g.input, output: g.output };
};

/** What each window gives back to all that it covers: values [N, C, output] spread over [N, C, input]. */
function spread(b: GradientBuilder, g: ReturnType<typeof windowOf>, values: string): string {
  const { kernel, strides, input, output, pads } = g;
  const rank = kernel.length;
  const tiles =
    g.dilations.every((d) => d === 1) &&
    kernel.every((k, i) => k === strides[i] && output[i]! * k === input[i]! && pads[i] === 0);
  if (tiles) {
    const column = b.reshape(values, [-1, ...output.flatMap((o) => [o, 1])]);
    const whole = b.add("Concat", [b.dims(column, 0, 1), b.ints(output.flatMap((o, i) => [o, kernel[i]!]))], {
      axis: attr.int(0),
    });
    return b.reshapeLike(b.add("Expand", [column, whole]), b.x(0));
  }
  // Each channel is an image of one channel, so that one kernel of ones does for all. Ends that ceil_mode adds are cut.
  const reach = kernel.map((k, i) => (output[i]! - 1) * strides[i]! + (k - 1) * g.dilations[i]! + 1);
  const images = b.reshape(values, [-1, 1, ...output]);
  const ones = b.cast(b.constant(tensor("float32", [1, 1, ...kernel], Array(product(kernel)).fill(1))), b.real);
  const all = b.add("ConvTranspose", [images, ones], {
    strides: attr.ints(strides),
    dilations: attr.ints(g.dilations),
  });
  const cut = [...pads.slice(0, rank).map((p) => -p), ...input.map((size, i) => size + pads[i]! - reach[i]!)];
  const around = [0, 0, ...cut.slice(0, rank), 0, 0, ...cut.slice(rank)];
  return b.reshapeLike(around.every((p) => p === 0) ? all : b.add("Pad", [all, b.ints(around)]), b.x(0));
}

/** Whether no element is in two windows. */
const apart = (g: Geometry) => g.kernel.every((k, i) => (k - 1) * g.dilations[i]! + 1 <= g.strides[i]!);

const maxPool: GradientRule = (b) => [
  () => {
    const g = windowOf(b);
    const tiles =
      apart(g) && g.kernel.every((k, i) => k === g.strides[i] && g.output[i]! * k === g.input[i]! && g.pads[i] === 0);
    if (tiles && b.formulation("max-pool") !== "indices") return byComparison(b, g);
    const flat = (v: string) => b.reshape(v, [-1]);
    const size = b.sizes(b.x(0));
    const zeros = b.add("ConstantOfShape", [b.ints([product(size)])], { value: attr.tensor(tensor(b.real, [1], [0])) });
    const scattered = b.add("ScatterElements", [zeros, flat(indicesOf(b)), flat(b.dy)], {
      axis: attr.int(0),
      ...(!apart(g) && { reduction: attr.string("add") }),
    });
    return b.reshapeLike(scattered, b.x(0));
  },
];

/** Where the largest elements are, row by row. */
function indicesOf(b: GradientBuilder): string {
  if (b.intOf("storage_order", 0) === 0) return b.y(1);
  const attributes = new Map(b.node.attributes);
  attributes.delete("storage_order");
  const indices = b.fresh("indices");
  b.add("MaxPool", [b.x(0)], Object.fromEntries(attributes), [b.fresh("largest"), indices]);
  return indices;
}

/**
 * Windows that tile the input: the gradient goes in equal parts to all of a window that are its largest. Where the largest
 * are is found by comparison with the output made as large as the input: engines are slow to say the places themselves.
 */
function byComparison(b: GradientBuilder, g: ReturnType<typeof windowOf>): string {
  const scales = b.constant(tensor("float32", [g.kernel.length + 2], [1, 1, ...g.kernel]));
  const enlarged = (v: string) =>
    b.add("Resize", [v, undefined, scales], {
      mode: attr.string("nearest"),
      coordinate_transformation_mode: attr.string("asymmetric"),
      nearest_mode: attr.string("floor"),
    });
  const below = b.calc("Sub", b.x(0), enlarged(b.y()));
  const mask = isNotBelow(b, below);
  const share = b.add("AveragePool", [mask], { kernel_shape: attr.ints(g.kernel), strides: attr.ints(g.strides) });
  const parts = b.calc("Div", b.dy, b.calc("Mul", share, product(g.kernel)));
  return b.calc("Mul", mask, enlarged(parts));
}

/** How many elements each window averages: those of the input, or with `count_include_pad` of the padded one. */
function countsOf(b: GradientBuilder, g: ReturnType<typeof windowOf>): string | number {
  const padded = b.intOf("count_include_pad", 0) !== 0;
  const along = g.kernel.map((k, i) => {
    const [before, after] = [g.pads[i]!, g.pads[i + g.kernel.length]!];
    return Array.from({ length: g.output[i]! }, (_, o) => {
      let count = 0;
      for (let at = 0; at < k; at++) {
        const place = o * g.strides[i]! - before + at * g.dilations[i]!;
        if (padded ? place < g.input[i]! + after : place >= 0 && place < g.input[i]!) count++;
      }
      return count;
    });
  });
  const all = along.reduce<number[]>((n, axis) => n.flatMap((a) => axis.map((c) => a * c)), [1]);
  return all.every((c) => c === all[0])
    ? all[0]!
    : b.cast(b.constant(tensor("float32", [1, 1, ...g.output], all)), b.real);
}

/** The mean of everything but batch and channels, as a mask that broadcasts. */
const globally = (make: (b: GradientBuilder, axes: readonly number[]) => string): GradientRule => {
  return (b) => [
    () =>
      make(
        b,
        Array.from({ length: b.rank(b.x(0)) - 2 }, (_, i) => i + 2),
      ),
  ];
};

/** (sum of |x|^p)^(1/p) has the slope sign(x) (|x| / y)^(p - 1); where y is 0 that of 0. */
function normSlope(b: GradientBuilder, norm: string, dy: string, back: (v: string) => string): string {
  const p = b.intOf("p", 2);
  if (p === 1) return b.calc("Mul", b.calc("Sign", b.x(0)), back(dy));
  const safe = b.add("Where", [b.calc("Equal", norm, 0), b.float(1, b.real), norm]);
  const part = back(b.calc("Div", dy, p === 2 ? safe : b.calc("Pow", safe, p - 1)));
  if (p === 2) return b.calc("Mul", b.x(0), part);
  const size = b.calc("Pow", b.calc("Abs", b.x(0)), p - 1);
  return b.calc("Mul", b.calc("Mul", b.calc("Sign", b.x(0)), size), part);
}

export const pools: GradientRules = {
  MaxPool: maxPool,
  AveragePool: (b) => [
    () => {
      const g = windowOf(b);
      return spread(b, g, b.calc("Div", b.dy, countsOf(b, g)));
    },
  ],
  LpPool: (b) => [
    () => {
      const g = windowOf(b);
      return normSlope(b, b.y(), b.dy, (v) => spread(b, g, v));
    },
  ],
  GlobalAveragePool: globally((b, axes) => {
    const dims = axes.map((a) => b.shape(b.x(0))![a]);
    const count = dims.every((d): d is number => typeof d === "number")
      ? product(dims)
      : b.cast(b.add("ReduceProd", [b.dims(b.x(0), 2)], { keepdims: attr.int(0) }), b.real);
    return b.add("Expand", [b.calc("Div", b.dy, count), b.shapeTensor(b.x(0))]);
  }),
  GlobalMaxPool: globally((b, axes) => {
    const equal = b.cast(b.add("Equal", [b.x(0), b.y()]), b.real);
    return b.calc("Mul", equal, b.calc("Div", b.dy, b.reduce("ReduceSum", equal, axes)));
  }),
  GlobalLpPool: globally((b) => normSlope(b, b.y(), b.dy, (v) => v)),
  MaxUnpool: (b) => [
    () => {
      const flat = (v: string) => b.reshape(v, [-1]);
      return b.reshapeLike(b.add("GatherElements", [flat(b.dy), flat(b.x(1))]), b.x(0));
    },
  ],
};
