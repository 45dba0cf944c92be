import { attr } from "@pare/core";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";

const range = (to: number) => Array.from({ length: to }, (_, i) => i);
const product = (dims: readonly number[]) => dims.reduce((n, d) => n * d, 1);

const scatterAdd = (b: GradientBuilder, onto: string, indices: string, values: string, axis: number) =>
  b.add("ScatterElements", [onto, indices, values], { axis: attr.int(axis), reduction: attr.string("add") });

/** Each element goes back to where it was taken from; several to one place are summed. */
const gather: GradientRule = (b) => [
  () => {
    const [x, indices] = [b.x(0), b.x(1)];
    const [rank, k] = [b.rank(x), b.rank(indices)];
    const given = b.intOf("axis", 0);
    const axis = given < 0 ? given + rank : given;
    const dims = b.sizes(x);
    // The axes of the indices become one.
    const flat = b.reshape(b.dy, [...dims.slice(0, axis), -1, ...dims.slice(axis + 1)]);
    const column = b.reshape(indices, [...Array<number>(axis).fill(1), -1, ...Array<number>(rank - axis - 1).fill(1)]);
    const spread = k === 1 && rank === 1 ? column : b.add("Expand", [column, b.add("Shape", [flat])]);
    return scatterAdd(b, b.zerosLike(x), spread, flat, axis);
  },
];

/** Places [..., k] in the first axes of a shape as numbers of rows. */
function rowsOf(b: GradientBuilder, indices: string, dims: readonly number[]): string {
  const sizes = b.ints(dims);
  const inside = b.add("Mod", [b.add("Add", [b.cast(indices, "int64"), sizes]), sizes]);
  const strides = dims.map((_, i) => product(dims.slice(i + 1)));
  return b.reduce("ReduceSum", b.add("Mul", [inside, b.ints(strides)]), [-1], false);
}

/** The indices of GatherND and ScatterND as rows of a matrix: [rows, columns]. */
function asRows(b: GradientBuilder, x: string, indices: string) {
  const [dims, at] = [b.sizes(x), b.sizes(indices)];
  const k = at.at(-1)!;
  const columns = product(dims.slice(k));
  const rows = b.reshape(rowsOf(b, indices, dims.slice(0, k)), [-1, 1]);
  const spread = b.add("Expand", [rows, b.ints([product(at.slice(0, -1)), columns])]);
  return { matrix: [product(dims.slice(0, k)), columns], spread };
}

const gatherNd: GradientRule = (b) => [
  () => {
    const [x, indices] = [b.x(0), b.x(1)];
    if (b.intOf("batch_dims", 0) !== 0) b.refuse("it has batch_dims");
    const { matrix, spread } = asRows(b, x, indices);
    const values = b.reshape(b.dy, [-1, matrix[1]!]);
    const zeros = b.reshape(b.zerosLike(x), matrix);
    return b.reshapeLike(scatterAdd(b, zeros, spread, values, 0), x);
  },
];

/** What was written over does not count; sums count both. */
const scatterElements: GradientRule = (b) => {
  const [x, indices] = [b.x(0), b.x(1)];
  const axis = { axis: attr.int(b.intOf("axis", 0)) };
  const reduction = reductionOf(b);
  return [
    () => (reduction === "add" ? b.dy : b.add("ScatterElements", [b.dy, indices, b.zerosLike(b.x(2))], axis)),
    undefined,
    () => (b.shape(x) ? b.add("GatherElements", [b.dy, indices], axis) : b.refuse(`the shape of ${x} is not known`)),
  ];
};

const scatterNd: GradientRule = (b) => {
  const reduction = reductionOf(b);
  return [
    () => (reduction === "add" ? b.dy : b.add("ScatterND", [b.dy, b.x(1), b.zerosLike(b.x(2))])),
    undefined,
    () => b.add("GatherND", [b.dy, b.x(1)]),
  ];
};

function reductionOf(b: GradientBuilder): string {
  const reduction = b.textOf("reduction", "none");
  return reduction === "none" || reduction === "add" ? reduction : b.refuse(`it scatters by ${reduction}`);
}

export const gathers: GradientRules = {
  Gather: gather,
  GatherElements: (b) => [() => scatterAdd(b, b.zerosLike(b.x(0)), b.x(1), b.dy, b.intOf("axis", 0))],
  GatherND: gatherNd,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
  Compress: (b) => [
    () => {
      const axis = b.attribute("axis", "int");
      const places = b.reshape(b.add("NonZero", [b.x(1)]), [-1]);
      if (axis === undefined) {
        const zeros = b.reshape(b.zerosLike(b.x(0)), [-1]);
        return b.reshapeLike(scatterAdd(b, zeros, places, b.dy, 0), b.x(0));
      }
      const [rank, at] = [b.rank(b.x(0)), Number(axis)];
      const whole = at < 0 ? at + rank : at;
      const column = b.reshape(
        places,
        range(rank).map((i) => (i === whole ? -1 : 1)),
      );
      const spread = b.add("Expand", [column, b.add("Shape", [b.dy])]);
      return scatterAdd(b, b.zerosLike(b.x(0)), spread, b.dy, whole);
    },
  ],
};
