import { elementCount } from "@pare/core";
import type { Tensor, Tf } from "../engine.ts";
import {
  all,
  type Call,
  evaluated,
  input,
  int,
  moved,
  numbersIn,
  type Rules,
  refuse,
  text,
  wholeAxis,
} from "./call.ts";

const indexTensor = (tf: Tf, places: readonly number[] | Int32Array, shape: readonly number[]) =>
  tf.tensor(places instanceof Int32Array ? places : Int32Array.from(places), [...shape], "int32");

/** Index `i` of `size`, counted from the end where it is negative. */
function inside(i: number, size: number): number {
  const at = i < 0 ? i + size : i;
  if (!(at >= 0 && at < size)) refuse(`the index ${i} is not one of ${size}`);
  return at;
}

/** Elements to skip for one step along each axis. */
function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Rows of `size` elements at places. */
const rowsAt = (tf: Tf, x: Tensor, size: number, at: readonly number[] | Int32Array): Tensor =>
  tf.gather(tf.reshape(x, [size === 0 ? at.length : x.size / size, size]), indexTensor(tf, at, [at.length]));

function gather(c: Call): Tensor {
  const x = input(c, 0);
  const axis = wholeAxis(int(c, "axis", 0), x.rank);
  const at = numbersIn(c, 1).map((i) => inside(i, x.shape[axis]!));
  return moved(c.tf, x, (y) => c.tf.gather(y, indexTensor(c.tf, at, c.read.get(1)!.shape), axis));
}

/** For each element of an index tensor where it points to in the flat tensor. */
function elementPlaces(c: Call, shape: readonly number[], axis: number): Int32Array {
  const { shape: own } = c.read.get(1)!;
  const at = numbersIn(c, 1);
  const strides = stridesOf(shape);
  const index = own.map(() => 0);
  return Int32Array.from(at, (i) => {
    let place = inside(i, shape[axis]!) * strides[axis]!;
    for (let k = 0; k < index.length; k++) if (k !== axis) place += index[k]! * strides[k]!;
    for (let k = index.length - 1; k >= 0; k--) {
      if (++index[k]! < own[k]!) break;
      index[k] = 0;
    }
    return place;
  });
}

function gatherElements(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const places = elementPlaces(c, x.shape, wholeAxis(int(c, "axis", 0), x.rank));
  return moved(c.tf, x, (y) => tf.reshape(rowsAt(tf, y, 1, places), [...c.read.get(1)!.shape]));
}

/** Which slice each row of an index tensor names, of those that `depth` axes after `batch` ones number. */
function sliceNumbers(c: Call, shape: readonly number[], batch: number) {
  const { shape: own } = c.read.get(1)!;
  const at = numbersIn(c, 1);
  const depth = own.at(-1)!;
  const named = shape.slice(batch, batch + depth);
  const strides = stridesOf(named);
  const rows = elementCount(own.slice(0, -1));
  const perBatch = rows / elementCount(shape.slice(0, batch));
  const slices = elementCount(named);
  const places = Int32Array.from({ length: rows }, (_, row) => {
    let place = Math.floor(row / perBatch) * slices;
    for (let k = 0; k < depth; k++) place += inside(at[row * depth + k]!, named[k]!) * strides[k]!;
    return place;
  });
  return { places, rest: shape.slice(batch + depth), outer: own.slice(0, -1) };
}

function gatherND(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const { places, rest, outer } = sliceNumbers(c, x.shape, int(c, "batch_dims", 0));
  return moved(c.tf, x, (y) => tf.reshape(rowsAt(tf, y, elementCount(rest), places), [...outer, ...rest]));
}

/** Positions of updates in groups in which each place comes once: first, second, … of each place. */
function rounds(places: Int32Array): number[][] {
  const seen = new Map<number, number>();
  const groups: number[][] = [];
  places.forEach((place, i) => {
    const round = seen.get(place) ?? 0;
    seen.set(place, round + 1);
    (groups[round] ??= []).push(i);
  });
  return groups;
}

/**
 * Updates put in rows of `size` elements, in the order in which they come. Everything is gathering, which has a gradient:
 * each row of the result is one that was there or an update.
 */
function scattered(c: Call, x: Tensor, updates: Tensor, places: Int32Array, size: number): Tensor {
  const { tf } = c;
  const how = text(c, "reduction", "none");
  const count = size === 0 ? 0 : x.size / size;
  const combine = new Map<string, (a: Tensor, b: Tensor) => Tensor>([
    ["mul", (a, b) => tf.mul(a, b)],
    ["max", (a, b) => tf.maximum(a, b)],
    ["min", (a, b) => tf.minimum(a, b)],
  ]).get(how);
  const all = tf.reshape(x, [count, size]);
  const rows = tf.reshape(updates, [places.length, size]);
  if (places.length === 0 || count === 0) return x;
  const put = (into: Tensor, what: Tensor, which: readonly number[]) => {
    const source = Int32Array.from({ length: count }, (_, i) => i);
    for (const [k, i] of which.entries()) source[places[i]!] = count + k;
    return tf.gather(tf.concat([into, what]), indexTensor(tf, source, [count]));
  };
  if (how === "none") return tf.reshape(put(all, rows, [...places.keys()]), x.shape);
  if (how === "add") {
    const sums = tf.unsortedSegmentSum(rows, indexTensor(tf, places, [places.length]) as never, count);
    return tf.reshape(tf.add(all, sums), x.shape);
  }
  if (!combine) return refuse(`${c.node.op} has no reduction ${how}`);
  const whole = rounds(places).reduce((into, which) => {
    const old = rowsAt(
      tf,
      into,
      size,
      which.map((i) => places[i]!),
    );
    return put(into, combine(old, tf.gather(rows, indexTensor(tf, which, [which.length]))), which);
  }, all);
  return tf.reshape(whole, x.shape);
}

/** Moves integers too; computes with floating-point numbers only. */
const scatter = (compute: (c: Call, x: Tensor, updates: Tensor) => Tensor) =>
  all((c) => {
    const [x, updates] = [input(c, 0), input(c, 2)];
    if (x.dtype === "float32" || text(c, "reduction", "none") === "none")
      return moved(c.tf, x, (y) => compute(c, y, c.tf.cast(updates, y.dtype)));
    return refuse(`${c.node.op} computes with ${c.inputs[0]}`);
  }, 1);

function oneHot(c: Call): Tensor {
  const { tf } = c;
  const indices = input(c, 0);
  const [depth] = numbersIn(c, 1) as [number];
  const axis = wholeAxis(int(c, "axis", -1), indices.rank + 1);
  const column = tf.expandDims(tf.cast(indices, "float32"), axis);
  const shape = column.shape.map((_, i) => (i === axis ? depth : 1));
  const line = tf.reshape(tf.range(0, depth, 1, "float32"), shape);
  const hit = tf.logicalOr(tf.equal(column, line), tf.equal(tf.add(column, depth), line));
  const [off, on] = [0, 1].map((i) => tf.slice(input(c, 2), [i], [1]));
  const size = column.shape.map((d, i) => (i === axis ? depth : d));
  const [high, low] = [on!, off!].map((v) =>
    tf.broadcastTo(
      tf.reshape(
        tf.cast(v, "float32"),
        size.map(() => 1),
      ),
      size,
    ),
  );
  return tf.cast(tf.where(hit, high!, low!), input(c, 2).dtype);
}

function compress(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const kept = numbersIn(c, 1).flatMap((v, i) => (v ? [i] : []));
  const given = c.node.attributes.has("axis");
  return moved(c.tf, x, (y) => {
    const at = indexTensor(tf, kept, [kept.length]);
    return given ? tf.gather(y, at, wholeAxis(int(c, "axis", 0), x.rank)) : tf.gather(tf.reshape(y, [-1]), at);
  });
}

/** The beginning of each sequence turned round: a gathering of rows of time and batch. */
function reverseSequence(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const lengths = numbersIn(c, 1);
  const [time, batch] = [int(c, "time_axis", 0), int(c, "batch_axis", 1)];
  const order = [time, batch, ...x.shape.map((_, i) => i).filter((i) => i !== time && i !== batch)];
  const back = order.map((_, i) => order.indexOf(i));
  const [steps, count] = [x.shape[time]!, x.shape[batch]!];
  const at = Int32Array.from({ length: steps * count }, (_, i) => {
    const [t, b] = [Math.floor(i / count), i % count];
    return (t < lengths[b]! ? lengths[b]! - 1 - t : t) * count + b;
  });
  return moved(c.tf, x, (y) => {
    const first = tf.transpose(y, order);
    return tf.transpose(tf.reshape(rowsAt(tf, first, x.size / (steps * count), at), first.shape), back);
  });
}

export const gathers: Rules = {
  Compress: all(compress, 1),
  Gather: all(gather, 1),
  GatherElements: all(gatherElements, 1),
  GatherND: all(gatherND, 1),
  NonMaxSuppression: evaluated,
  NonZero: evaluated,
  OneHot: { compute: oneHot, reads: [1], takes: (_, [y]) => y === "float32" || y === "int32" || y === "bool" },
  ReverseSequence: all(reverseSequence, 1),
  ScatterElements: scatter((c, x, updates) =>
    scattered(c, x, updates, elementPlaces(c, x.shape, wholeAxis(int(c, "axis", 0), x.rank)), 1),
  ),
  ScatterND: scatter((c, x, updates) => {
    const { places, rest } = sliceNumbers(c, x.shape, 0);
    return scattered(c, x, updates, places, elementCount(rest));
  }),
  Unique: evaluated,
};
