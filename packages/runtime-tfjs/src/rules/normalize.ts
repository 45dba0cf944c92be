import type { Tensor, Tf } from "../engine.ts";
import { padded, part } from "./axes.ts";
import { type Call, float, floats, input, int, ints, type Rules, wholeAxis } from "./call.ts";

/** A value for each channel, against [N, C, ...]. */
const byChannel = (tf: Tf, v: Tensor, x: Tensor) =>
  x.rank < 2 ? v : tf.reshape(v, [1, v.size, ...x.shape.slice(2).map(() => 1)]);

/** Mean and variance over axes, which stay with the size 1. */
function moments(tf: Tf, x: Tensor, axes: number[]) {
  const mean = tf.mean(x, axes, true);
  const distance = tf.sub(x, mean);
  return { mean, distance, variance: tf.mean(tf.square(distance), axes, true) };
}

function batchNormalization(c: Call): Tensor | Tensor[] {
  const { tf } = c;
  const x = input(c, 0);
  const [scale, bias] = [1, 2].map((i) => byChannel(tf, input(c, i), x)) as [Tensor, Tensor];
  const epsilon = float(c, "epsilon", 1e-5);
  const apply = (distance: Tensor, variance: Tensor) =>
    tf.add(tf.mul(distance, tf.mul(scale, tf.rsqrt(tf.add(variance, epsilon)))), bias);
  if (int(c, "training_mode", 0) !== 1)
    return apply(tf.sub(x, byChannel(tf, input(c, 3), x)), byChannel(tf, input(c, 4), x));
  const { mean, distance, variance } = moments(tf, x, [0, ...x.shape.slice(2).map((_, i) => i + 2)]);
  const momentum = float(c, "momentum", 0.9);
  const running = (before: Tensor, now: Tensor) =>
    tf.add(tf.mul(before, momentum), tf.mul(tf.reshape(now, before.shape), 1 - momentum));
  return [apply(distance, variance), running(input(c, 3), mean), running(input(c, 4), variance)];
}

function instanceNormalization(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const { distance, variance } = moments(
    tf,
    x,
    x.shape.slice(2).map((_, i) => i + 2),
  );
  const scaled = tf.mul(distance, tf.rsqrt(tf.add(variance, float(c, "epsilon", 1e-5))));
  return tf.add(tf.mul(scaled, byChannel(tf, input(c, 1), x)), byChannel(tf, input(c, 2), x));
}

function layerNormalization(c: Call): Tensor[] {
  const { tf } = c;
  const x = input(c, 0);
  const axis = wholeAxis(int(c, "axis", -1), x.rank);
  const { mean, distance, variance } = moments(
    tf,
    x,
    x.shape.slice(axis).map((_, i) => axis + i),
  );
  const inverse = tf.rsqrt(tf.add(variance, float(c, "epsilon", 1e-5)));
  const scaled = tf.mul(tf.mul(distance, inverse), input(c, 1));
  const bias = c.tensors[2];
  return [bias ? tf.add(scaled, bias) : scaled, mean, inverse];
}

/** Each element over a power of the sum of squares around it, across channels. */
function localResponse(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const size = int(c, "size", 1);
  const before = Math.floor((size - 1) / 2);
  const pads = (count: number) => x.shape.map((_, i) => (i === 1 ? count : 0));
  const squares = padded(tf, tf.square(x), pads(before), pads(size - 1 - before));
  const sums = Array.from({ length: size }, (_, i) => part(tf, squares, 1, i, x.shape[1]!));
  const sum = sums.reduce((a, b) => tf.add(a, b));
  const base = tf.add(tf.mul(sum, float(c, "alpha", 1e-4) / size), float(c, "bias", 1));
  return tf.div(x, tf.pow(base, float(c, "beta", 0.75)));
}

function lpNormalization(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const axis = wholeAxis(int(c, "axis", -1), x.rank);
  const norm = int(c, "p", 2) === 1 ? tf.sum(tf.abs(x), axis, true) : tf.sqrt(tf.sum(tf.square(x), axis, true));
  const zero = c.apart(tf.equal(norm, 0));
  // Zeros stay zeros.
  return tf.div(x, tf.where(zero, tf.onesLike(norm), norm));
}

export const normalizations: Rules = {
  BatchNormalization: floats(batchNormalization),
  InstanceNormalization: floats(instanceNormalization),
  LRN: floats(localResponse),
  LayerNormalization: floats(layerNormalization),
  LpNormalization: floats(lpNormalization),
  MeanVarianceNormalization: floats((c) => {
    const { tf } = c;
    const x = input(c, 0);
    const { distance, variance } = moments(
      tf,
      x,
      (ints(c, "axes") ?? [0, 2, 3]).map((axis) => wholeAxis(axis, x.rank)),
    );
    return tf.div(distance, tf.add(tf.sqrt(variance), 1e-9));
  }),
};
