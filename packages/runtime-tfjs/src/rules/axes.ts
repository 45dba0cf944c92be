/** Axes of tensors in operations that have gradients everywhere. */
import { elementCount } from "@pare/core";
import type { Tensor, Tf } from "../engine.ts";

const around = (shape: readonly number[], axis: number) => ({
  outer: elementCount(shape.slice(0, axis)),
  inner: elementCount(shape.slice(axis + 1)),
});
const withSize = (shape: readonly number[], axis: number, size: number) => shape.map((d, i) => (i === axis ? size : d));

/** A run of an axis. */
export function part(tf: Tf, x: Tensor, axis: number, start: number, size: number): Tensor {
  const begin = x.shape.map((_, i) => (i === axis ? start : 0));
  return tf.slice(x, begin, withSize(x.shape, axis, size));
}

/** Zeros, or another number, before and after; less than none takes away. */
export function padded(tf: Tf, x: Tensor, before: readonly number[], after: readonly number[], fill = 0): Tensor {
  let cut = x;
  if ([...before, ...after].some((p) => p < 0)) {
    const begin = before.map((p) => Math.max(0, -p));
    const size = x.shape.map((d, i) => Math.max(0, d - begin[i]! - Math.max(0, -after[i]!)));
    cut = tf.slice(x, begin, size);
  }
  const pairs = before.map((p, i) => [Math.max(0, p), Math.max(0, after[i]!)] as [number, number]);
  return pairs.some(([p, q]) => p > 0 || q > 0) ? tf.pad(cut, pairs, fill) : cut;
}

/** Every `step`-th element of an axis, the first among them. */
export function everyNth(tf: Tf, x: Tensor, axis: number, step: number): Tensor {
  if (step === 1) return x;
  const { outer, inner } = around(x.shape, axis);
  const size = x.shape[axis]!;
  const count = Math.ceil(size / step);
  const rows = tf.pad(tf.reshape(x, [outer, size, inner]), [
    [0, 0],
    [0, count * step - size],
    [0, 0],
  ]);
  const first = tf.slice(tf.reshape(rows, [outer, count, step * inner]), [0, 0, 0], [outer, count, inner]);
  return tf.reshape(first, withSize(x.shape, axis, count));
}

/** `step - 1` zeros between the elements of an axis. */
export function spread(tf: Tf, x: Tensor, axis: number, step: number): Tensor {
  const size = x.shape[axis]!;
  if (step === 1 || size === 0) return x;
  const { outer, inner } = around(x.shape, axis);
  const wide = tf.pad(tf.reshape(x, [outer, size, inner]), [
    [0, 0],
    [0, 0],
    [0, (step - 1) * inner],
  ]);
  const all = tf.reshape(wide, withSize(x.shape, axis, size * step));
  return part(tf, all, axis, 0, (size - 1) * step + 1);
}

/** Computes along the last axis what is meant along another. */
export function alongLast(tf: Tf, x: Tensor, axis: number, f: (x: Tensor) => Tensor): Tensor {
  const last = x.rank - 1;
  if (axis === last || x.rank === 0) return f(x);
  const swap = x.shape.map((_, i) => (i === axis ? last : i === last ? axis : i));
  return tf.transpose(f(tf.transpose(x, swap)), swap);
}

/** The shape that shapes have together by numpy's rules. */
export const broadcast = (tf: Tf, ...shapes: readonly (readonly number[])[]): number[] =>
  shapes.reduce<number[]>((a, b) => tf.broadcast_util.assertAndGetBroadcastShape(a, [...b]), []);

/** A tensor in the shape that it is broadcast to. The gradient of `broadcastTo` has four axes at most. */
export function spreadTo(tf: Tf, x: Tensor, shape: readonly number[]): Tensor {
  if (String(x.shape) === String(shape)) return x;
  return shape.length > 4 && x.dtype === "float32" ? tf.mul(x, tf.ones([...shape])) : tf.broadcastTo(x, [...shape]);
}
