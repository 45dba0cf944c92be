import { attribute, elementCount, type ResidentTensor, tensor } from "@pare/core";
import { numbersOf } from "@pare/ops/numeric";
import type { Tensor } from "../engine.ts";
import { toTensor } from "../held.ts";
import { broadcast, everyNth, padded, part, spreadTo } from "./axes.ts";
import {
  all,
  type Call,
  evaluated,
  input,
  int,
  ints,
  moved,
  numbers,
  numbersIn,
  type Rules,
  refuse,
  text,
  wholeAxis,
} from "./call.ts";

const shapes = (...sizes: readonly number[]) => tensor("int64", [sizes.length], sizes);

function reshape(c: Call): Tensor {
  const x = input(c, 0);
  const given = numbersIn(c, 1);
  const zeros = int(c, "allowzero", 0) === 1;
  return c.tf.reshape(
    x,
    given.map((d, i) => (d === 0 && !zeros ? (x.shape[i] ?? 0) : d)),
  );
}

function flatten(c: Call): Tensor {
  const x = input(c, 0);
  const axis = int(c, "axis", 1);
  const at = axis < 0 ? axis + x.rank : axis;
  return c.tf.reshape(x, [elementCount(x.shape.slice(0, at)), elementCount(x.shape.slice(at))]);
}

function squeeze(c: Call): Tensor {
  const x = input(c, 0);
  const axes = numbers(c, 1)?.map((axis) => wholeAxis(axis, x.rank));
  if (axes?.some((axis) => x.shape[axis] !== 1)) refuse(`Squeeze of axes [${axes}] in [${x.shape}]`);
  return c.tf.reshape(
    x,
    x.shape.filter((d, axis) => (axes ? !axes.includes(axis) : d !== 1)),
  );
}

function unsqueeze(c: Call): Tensor {
  const x = input(c, 0);
  const given = numbersIn(c, 1);
  const rank = x.rank + given.length;
  const axes = new Set(given.map((axis) => wholeAxis(axis, rank)));
  const rest = [...x.shape];
  return c.tf.reshape(
    x,
    Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : rest.shift()!)),
  );
}

function slice(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const [from, to] = [numbersIn(c, 1), numbersIn(c, 2)];
  const axes = numbers(c, 3) ?? from.map((_, i) => i);
  const by = numbers(c, 4) ?? from.map(() => 1);
  return moved(c.tf, x, (whole) =>
    axes.reduce((y, given, i) => {
      const axis = wholeAxis(given, x.rank);
      const [size, step] = [x.shape[axis]!, by[i]!];
      const clamp = (v: number, low: number, high: number) => Math.max(low, Math.min(high, v < 0 ? v + size : v));
      if (step === 0) return refuse("a Slice with a step of 0");
      if (step > 0) {
        const start = clamp(from[i]!, 0, size);
        const length = Math.max(0, clamp(to[i]!, 0, size) - start);
        return everyNth(tf, part(tf, y, axis, start, length), axis, step);
      }
      const start = clamp(from[i]!, 0, size - 1);
      const length = Math.max(0, start - clamp(to[i]!, -1, size - 1));
      const run = part(tf, y, axis, start - length + 1, length);
      return everyNth(tf, length === 0 ? run : tf.reverse(run, axis), axis, -step);
    }, whole),
  );
}

function split(c: Call): Tensor[] {
  const x = input(c, 0);
  const axis = wholeAxis(int(c, "axis", 0), x.rank);
  const size = x.shape[axis]!;
  const count = int(c, "num_outputs", c.node.outputs.length);
  const each = Math.ceil(size / count);
  const sizes = numbers(c, 1) ?? Array.from({ length: count }, (_, i) => Math.min(each, size - i * each));
  if (sizes.some((s) => s < 0) || sizes.reduce((a, b) => a + b, 0) !== size) refuse(`Split of ${size} in [${sizes}]`);
  let start = 0;
  return sizes.map((length) => {
    const from = start;
    start += length;
    return moved(c.tf, x, (y) => part(c.tf, y, axis, from, length));
  });
}

/** For each place of a padded axis its place before, by the mode. */
function places(mode: string, size: number, before: number, after: number): number[] {
  return Array.from({ length: size + before + after }, (_, k) => {
    const i = k - before;
    if (mode === "edge") return Math.max(0, Math.min(size - 1, i));
    if (mode === "wrap") return ((i % size) + size) % size;
    const period = Math.max(1, 2 * (size - 1));
    const m = ((i % period) + period) % period;
    return m < size ? m : period - m;
  });
}

function pad(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const given = numbersIn(c, 1);
  const axes = (numbers(c, 3) ?? x.shape.map((_, i) => i)).map((axis) => wholeAxis(axis, x.rank));
  const [before, after] = [x.shape.map(() => 0), x.shape.map(() => 0)];
  axes.forEach((axis, i) => {
    before[axis] = given[i]!;
    after[axis] = given[i + axes.length]!;
  });
  const mode = text(c, "mode", "constant");
  if (mode === "constant") return moved(c.tf, x, (y) => padded(tf, y, before, after, numbers(c, 2)?.[0] ?? 0));
  if (!["edge", "wrap", "reflect"].includes(mode)) refuse(`Pad has no mode ${mode}`);
  return moved(c.tf, x, (whole) =>
    x.shape.reduce<Tensor>((y, size, axis) => {
      if (before[axis] === 0 && after[axis] === 0) return y;
      return tf.gather(y, tf.tensor1d(places(mode, size, before[axis]!, after[axis]!), "int32"), axis);
    }, whole),
  );
}

function constantOfShape(c: Call): ResidentTensor | Tensor {
  const shape = numbersIn(c, 0);
  const filled = attribute(c.node, "value", "tensor") as ResidentTensor | undefined;
  if (!filled) return c.tf.zeros(shape);
  return c.tf.fill(shape, numbersOf(filled)[0]!, toTensor(c.tf, filled).dtype as "float32");
}

function eyeLike(c: Call): Tensor {
  const { tf } = c;
  const [rows, columns] = input(c, 0).shape as [number, number];
  const k = int(c, "k", 0);
  const ones = Float32Array.from({ length: rows * columns }, (_, i) =>
    Number((i % columns) - Math.floor(i / columns) === k),
  );
  return tf.tensor(ones, [rows, columns]);
}

/** Blocks of the image into channels, or back: both are a transposition of what has six axes. */
function depthToSpace(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const [n, channels, h, w] = x.shape as [number, number, number, number];
  const b = int(c, "blocksize", 1);
  const depth = channels / b ** 2;
  const byColumn = text(c, "mode", "DCR") === "CRD";
  const [split, order] = byColumn
    ? [
        [n, depth, b, b, h, w],
        [0, 1, 4, 2, 5, 3],
      ]
    : [
        [n, b, b, depth, h, w],
        [0, 3, 4, 1, 5, 2],
      ];
  return moved(c.tf, x, (y) =>
    tf.reshape(tf.transpose(tf.reshape(y, split as number[]), order as number[]), [n, depth, h * b, w * b]),
  );
}

function spaceToDepth(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const [n, channels, h, w] = x.shape as [number, number, number, number];
  const b = int(c, "blocksize", 1);
  const split = [n, channels, h / b, b, w / b, b];
  return moved(c.tf, x, (y) =>
    tf.reshape(tf.transpose(tf.reshape(y, split), [0, 3, 5, 1, 2, 4]), [n, channels * b ** 2, h / b, w / b]),
  );
}

/** What moves elements by their places, or says how many there are. */
export const shapeRules: Rules = {
  Concat: all((c) => {
    const [first] = c.tensors;
    const axis = wholeAxis(int(c, "axis", 0), first!.rank);
    const parts = c.tensors as Tensor[];
    return first!.dtype === "bool"
      ? c.tf.cast(
          c.tf.concat(
            parts.map((x) => c.tf.cast(x, "int32")),
            axis,
          ),
          "bool",
        )
      : c.tf.concat(parts, axis);
  }),
  ConstantOfShape: { compute: constantOfShape, reads: [0], takes: (_, [y]) => y === "float32" || y === "bool" },
  DepthToSpace: all(depthToSpace),
  Dropout: all(
    (c) => {
      const x = input(c, 0);
      if (numbers(c, 2)?.[0] && (numbers(c, 1)?.[0] ?? 0.5) !== 0) refuse("Dropout in training is random");
      return [x, c.tf.ones(x.shape, "bool")];
    },
    1,
    2,
  ),
  Expand: all((c) => {
    const x = input(c, 0);
    const shape = broadcast(c.tf, x.shape, numbersIn(c, 1));
    return moved(c.tf, x, (y) => spreadTo(c.tf, y, shape));
  }, 1),
  EyeLike: { compute: eyeLike, reads: [], takes: (_, [y]) => y === "float32" },
  Flatten: all(flatten),
  Pad: all(pad, 1, 2, 3),
  Range: evaluated,
  Reshape: all(reshape, 1),
  Shape: all((c) => {
    const { shape } = input(c, 0);
    const clamp = (v: number) => Math.max(0, Math.min(shape.length, v < 0 ? v + shape.length : v));
    return shapes(...shape.slice(clamp(int(c, "start", 0)), clamp(int(c, "end", shape.length))));
  }),
  Size: all((c) => tensor("int64", [], [input(c, 0).size])),
  Slice: all(slice, 1, 2, 3, 4),
  SpaceToDepth: all(spaceToDepth),
  Split: all(split, 1),
  Squeeze: all(squeeze, 1),
  Tile: all((c) => moved(c.tf, input(c, 0), (x) => c.tf.tile(x, numbersIn(c, 1))), 1),
  Transpose: all((c) => {
    const x = input(c, 0);
    const perm = ints(c, "perm") ?? x.shape.map((_, i) => x.rank - 1 - i);
    return moved(c.tf, x, (y) => c.tf.transpose(y, [...perm]));
  }),
  Unsqueeze: all(unsqueeze, 1),
};
