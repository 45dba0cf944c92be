import { resizedAxes } from "@pare/ops/evaluate";
import type { Tensor, Tf } from "../engine.ts";
import { type Call, float, floats, input, numbers, type Rules } from "./call.ts";

type Taps = ReturnType<typeof resizedAxes>[number];

/** An axis of the result as a weighted sum of what is gathered for each tap. */
function resampled(tf: Tf, x: Tensor, axis: number, taps: Taps): Tensor {
  const most = taps.reduce((n, t) => Math.max(n, t.taps.length), 0);
  const shape = x.shape.map((_, i) => (i === axis ? taps.length : 1));
  const terms = Array.from({ length: most }, (_, k) => {
    const at = tf.tensor1d(
      taps.map((t) => t.taps[k]?.index ?? 0),
      "int32",
    );
    const parts = taps.map((t) => t.taps[k]?.part ?? 0);
    const values = tf.gather(x, at, axis);
    return parts.every((p) => p === 1) ? values : tf.mul(values, tf.tensor(parts, shape, "float32"));
  });
  return terms.reduce((a, b) => tf.add(a, b));
}

function resize(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const axes = resizedAxes(c.node, x.shape, { roi: numbers(c, 1), scales: numbers(c, 2), sizes: numbers(c, 3) });
  let y = axes.reduce(
    (z, taps, axis) =>
      taps.every((t, i) => isItself(t, i, x.shape[axis]!, taps.length)) ? z : resampled(tf, z, axis, taps),
    x,
  );
  axes.forEach((taps, axis) => {
    if (!taps.some((t) => t.outside)) return;
    const shape = y.shape.map((_, i) => (i === axis ? taps.length : 1));
    const outside = tf.tensor(
      taps.map((t) => (t.outside ? 1 : 0)),
      shape,
      "int32",
    );
    const fill = tf.fill(y.shape, float(c, "extrapolation_value", 0));
    y = tf.where(tf.notEqual(tf.broadcastTo(outside, y.shape), 0), fill, y);
  });
  return y;
}

const isItself = ({ taps, outside }: Taps[number], i: number, from: number, to: number) =>
  from === to && !outside && taps.length === 1 && taps[0]!.index === i && taps[0]!.part === 1;

export const resizing: Rules = { Resize: floats(resize, 1, 2, 3) };
