import { attr, tensor } from "@pare/core";
import type { GradientBuilder, GradientRule, GradientRules } from "./builder.ts";
import { reversed } from "./reduce.ts";

const range = (to: number) => Array.from({ length: to }, (_, i) => i);

/** Elements keep their order: the gradient takes the shape of the input. */
const reshaped: GradientRule = (b) => [() => b.reshapeLike(b.dy, b.x(0))];

const views: GradientRules = {
  Reshape: reshaped,
  Flatten: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: (b) => [
    () => {
      const rank = b.rank(b.x(0));
      const perm = b.intsOf("perm") ?? range(rank).reverse();
      return b.transpose(
        b.dy,
        range(rank).map((axis) => perm.indexOf(axis)),
      );
    },
  ],
  Expand: (b) => [() => b.sumTo(b.dy, b.y(), b.x(0))],
  Tile: (b) => [
    () => {
      const dims = b.sizes(b.x(0));
      const repeats = b.knownInts(b.x(1)) ?? b.refuse("its repeats are known only when the model runs");
      const split = b.reshape(
        b.dy,
        dims.flatMap((d, i) => [repeats[i]!, d]),
      );
      return b.reduce(
        "ReduceSum",
        split,
        dims.map((_, i) => 2 * i),
        false,
      );
    },
  ],
  DepthToSpace: (b) => [
    () => {
      const [n, c, h, w] = b.sizes(b.x(0)) as [number, number, number, number];
      const k = b.intOf("blocksize", 1);
      const [depth, mode] = [c / (k * k), b.textOf("mode", "DCR")];
      const parts = b.reshape(b.dy, [n, depth, h, k, w, k]);
      return b.reshape(b.transpose(parts, mode === "CRD" ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]), [n, c, h, w]);
    },
  ],
  SpaceToDepth: (b) => [
    () => {
      const [n, c, h, w] = b.sizes(b.x(0)) as [number, number, number, number];
      const k = b.intOf("blocksize", 1);
      const parts = b.reshape(b.dy, [n, k, k, c, h / k, w / k]);
      return b.reshape(b.transpose(parts, [0, 3, 4, 1, 5, 2]), [n, c, h, w]);
    },
  ],
};

/** Sizes of parts of an axis, as a tensor. */
function partSizes(b: GradientBuilder, values: readonly string[], axis: number): string {
  const dims = values.map((v) => b.shape(v)?.at(axis));
  if (dims.every((d): d is number => typeof d === "number")) return b.ints(dims);
  const each = values.map((v) => b.dims(v, axis, axis === -1 ? undefined : axis + 1));
  return b.add("Concat", each, { axis: attr.int(0) });
}

const joins: GradientRules = {
  Concat(b) {
    const { inputs } = b.node;
    const axis = b.intOf("axis", 0);
    if (inputs.length === 1) return [() => b.dy];
    let parts: readonly string[] | undefined;
    const split = () => {
      if (parts) return parts;
      parts = inputs.map((_, i) => b.fresh(`part${i}`));
      b.add("Split", [b.dy, partSizes(b, inputs, axis)], { axis: attr.int(axis) }, parts);
      return parts;
    };
    return inputs.map((_, i) => () => split()[i]!);
  },
  Split: (b) => [
    () => {
      const parts = b.node.outputs.map((_, i) => b.dyOf(i) ?? b.zerosLike(b.y(i)));
      return b.add("Concat", parts, { axis: attr.int(b.intOf("axis", 0)) });
    },
  ],
};

interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** What a slice takes of each axis. */
function cutsOf(b: GradientBuilder): Cut[] {
  const known = (i: number) =>
    b.input(i) === undefined
      ? undefined
      : (b.knownInts(b.x(i)) ?? b.refuse("where it starts and ends is known only when the model runs"));
  const [starts, axes, steps] = [known(1)!, known(3), known(4)];
  known(2);
  const [dims, out] = [b.sizes(b.x(0)), b.sizes(b.y())];
  return starts.map((given, i) => {
    const axis = axes ? (axes[i]! < 0 ? axes[i]! + dims.length : axes[i]!) : i;
    const [step, size] = [steps?.[i] ?? 1, dims[axis]!];
    const from = given < 0 ? given + size : given;
    const start = step > 0 ? Math.min(Math.max(from, 0), size) : Math.min(Math.max(from, -1), size - 1);
    return { axis, start, step, count: out[axis]! };
  });
}

/** Zeros around, and between where the step is larger than 1. */
function putBack(b: GradientBuilder, cuts: readonly Cut[]): string {
  const [dims, out] = [b.sizes(b.x(0)), [...b.sizes(b.y())]];
  let value = reversed(
    b,
    b.dy,
    cuts.filter((c) => c.step < 0).map((c) => c.axis),
  );
  const before = dims.map(() => 0);
  for (const { axis, start, step, count } of cuts) {
    const size = Math.abs(step);
    before[axis] = step > 0 ? start : start + (count - 1) * step;
    if (size === 1 || count <= 1) continue;
    // [..., count, 1, ...] with size - 1 zeros after each, of which the last are cut by what is padded after.
    const split = b.reshape(value, [...out.slice(0, axis + 1), 1, ...out.slice(axis + 1)]);
    const pads = Array<number>(2 * (out.length + 1)).fill(0);
    pads[out.length + 1 + axis + 1] = size - 1;
    out[axis] = count * size;
    value = b.reshape(b.add("Pad", [split, b.ints(pads)]), out);
  }
  const after = dims.map((d, i) => d - before[i]! - out[i]!);
  if ([...before, ...after].every((p) => p === 0)) return value;
  return b.add("Pad", [value, b.ints([...before, ...after])]);
}

const windows: GradientRules = {
  Slice: (b) => [
    () => {
      const cuts = cutsOf(b);
      return cuts.some((c) => c.count === 0) ? b.zerosLike(b.x(0)) : putBack(b, cuts);
    },
  ],
  Pad: (b) => [
    () => {
      const rank = b.rank(b.x(0));
      const given = b.knownInts(b.x(1)) ?? b.refuse("its pads are known only when the model runs");
      const axes = b.input(3) === undefined ? range(rank) : b.knownInts(b.x(3));
      if (!axes) return b.refuse("its axes are known only when the model runs");
      if (b.textOf("mode", "constant") === "constant") {
        const pads = Array<number>(2 * rank).fill(0);
        axes.forEach((a, i) => {
          const axis = a < 0 ? a + rank : a;
          pads[axis] = -given[i]!;
          pads[axis + rank] = -given[i + axes.length]!;
        });
        return b.add("Pad", [b.dy, b.ints(pads)]);
      }
      const mode = { mode: attr.string(b.textOf("mode", "constant")) };
      return throughAxes(b, axes, (eye, i) =>
        b.add("Pad", [eye, b.ints([0, given[i]!, 0, given[i + axes.length]!])], mode),
      );
    },
    undefined,
    () => {
      if (b.textOf("mode", "constant") !== "constant") return b.zerosLike(b.x(2));
      const inside = b.add("Pad", [b.zerosLike(b.x(0)), b.x(1), b.float(1, b.real), b.input(3)]);
      return b.reduce("ReduceSum", b.calc("Mul", b.dy, inside), range(b.rank(b.x(0))), false);
    },
  ],
  Resize: (b) => [
    () => {
      const rank = b.rank(b.x(0));
      const all = b.intsOf("axes")?.map((a) => (a < 0 ? a + rank : a)) ?? range(rank);
      const [from, to] = [b.sizes(b.x(0)), b.sizes(b.y())];
      if (b.textOf("coordinate_transformation_mode", "half_pixel") === "tf_crop_and_resize")
        b.refuse("it crops and resizes");
      const scales = b.input(2) === undefined ? undefined : b.constantFloats(b.x(2));
      const kept = new Map(b.node.attributes);
      for (const name of ["axes", "keep_aspect_ratio_policy"]) kept.delete(name);
      const changed = all.filter((a) => from[a] !== to[a] || (scales && scales[all.indexOf(a)] !== 1));
      return throughAxes(b, changed, (eye, i) => {
        const axis = changed[i]!;
        const scale = scales?.[all.indexOf(axis)];
        // Engines differ in images that are a matrix.
        const [size, after] = [from[axis]!, to[axis]!];
        const image = b.reshape(eye, [1, 1, size, size]);
        const how =
          scale === undefined
            ? [undefined, b.ints([1, 1, size, after])]
            : [b.constant(tensor("float32", [4], [1, 1, 1, scale]))];
        return b.reshape(b.add("Resize", [image, undefined, ...how], Object.fromEntries(kept)), [size, after]);
      });
    },
  ],
};

/**
 * The gradient of what is linear along each axis by itself: `make` does it to the rows of a unit matrix, which shows the
 * matrix that it multiplies with.
 */
function throughAxes(b: GradientBuilder, axes: readonly number[], make: (eye: string, i: number) => string): string {
  const dims = b.sizes(b.x(0));
  const rank = dims.length;
  return axes.reduce((value, given, i) => {
    const axis = given < 0 ? given + rank : given;
    const size = dims[axis]!;
    const ones = Float32Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
    const eye = b.cast(b.constant(tensor("float32", [size, size], ones)), b.real);
    const matrix = b.transpose(make(eye, i), [1, 0]);
    const last = [...range(rank).filter((a) => a !== axis), axis];
    const product = b.add("MatMul", [b.transpose(value, last), matrix]);
    return b.transpose(
      product,
      range(rank).map((a) => last.indexOf(a)),
    );
  }, b.dy);
}

export const shapes: GradientRules = { ...views, ...joins, ...windows };
