import { elementCount } from "@pare/core";
import { windowOf } from "@pare/ops/evaluate";
import type { Tensor, Tf } from "../engine.ts";
import { padded, part, spread } from "./axes.ts";
import { type Call, floats, input, int, ints, type Rules, refuse, text } from "./call.ts";

/** A convolution over the axes after batch and channel: strides, dilations, and pads, begins then ends. */
export interface Stride {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
}

/** Channels last, where TensorFlow.js wants them; and back. Of three axes a transposition is twice as fast as of four. */
export function toLast(tf: Tf, x: Tensor): Tensor {
  const [n, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const flat = tf.reshape(x, [n, channels, elementCount(spatial)]);
  return tf.reshape(tf.transpose(flat, [0, 2, 1]), [n, ...spatial, channels]);
}
export function toFirst(tf: Tf, x: Tensor): Tensor {
  const [n, ...spatial] = x.shape.slice(0, -1) as [number, ...number[]];
  const channels = x.shape.at(-1)!;
  const flat = tf.reshape(x, [n, elementCount(spatial), channels]);
  return tf.reshape(tf.transpose(flat, [0, 2, 1]), [n, channels, ...spatial]);
}

/** Images of one dimension as rows of two. */
export const asPlane = (tf: Tf, x: Tensor): Tensor => (x.rank === 3 ? tf.expandDims(x, 2) : x);

/** Filters [out, in, ...] as [..., in, out], with zeros in them where the engine has no strides and dilations together, or no gradient. */
function filters(tf: Tf, w: Tensor, holes: readonly number[]): Tensor {
  const wide = holes.reduce((x, step, i) => spread(tf, x, i + 2, step), w);
  return tf.transpose(wide, [...w.shape.slice(2).map((_, i) => i + 2), 1, 0]);
}

interface Filters {
  readonly shape: readonly number[];
  /** Makes the filters of a group as the engine takes them. */
  make(what: string, f: (w: Tensor) => Tensor): Tensor;
}

/** x [N, C, ...] and filters [F, C / groups, ...] of one to three spatial axes. */
function convolved({ tf, watched }: Call, x: Tensor, w: Filters, groups: number, s: Stride): Tensor {
  const rank = x.rank - 2;
  const [out, depth] = w.shape as [number, number];
  if (x.shape[1] !== depth * groups || out % groups !== 0 || w.shape.length !== x.rank)
    refuse(`[${x.shape}] cannot be convolved with [${w.shape}] in ${groups} groups`);
  const both = (watched || s.strides.some((v) => v > 1)) && s.dilations.some((v) => v > 1);
  const holes = both ? s.dilations : s.dilations.map(() => 1);
  const dilations = both ? holes.map(() => 1) : [...s.dilations];
  const isDepthwise = rank < 3 && groups > 1 && groups === x.shape[1];
  // Pads of two axes the engine takes by itself; the native one takes them where it is not depthwise.
  const outside = rank !== 2 || (isDepthwise && tf.getBackend() === "tensorflow");
  const image = outside ? padded(tf, x, [0, 0, ...s.pads.slice(0, rank)], [0, 0, ...s.pads.slice(rank)]) : x;
  const pads = s.pads as readonly [number, number, number, number];
  const explicit: [number, number][] = [
    [0, 0],
    [pads[0], pads[2]],
    [pads[1], pads[3]],
    [0, 0],
  ];
  const pad = (outside || pads.every((p) => p === 0) ? "valid" : explicit) as "valid";
  const last = toLast(tf, asPlane(tf, image)) as never;
  const plane = <T>(list: readonly T[], one: T) => (rank === 1 ? [one, list[0]!] : [...list]) as [T, T];
  if (isDepthwise) {
    const many = out / groups;
    const filter = w.make(`depthwise ${holes}`, (v) => {
      const [kernel, size] = [tf.transpose(filters(tf, v, holes), turned(rank)), v.shape.length];
      const split = tf.reshape(kernel, [...kernel.shape.slice(0, size - 2), groups, many]);
      return rank === 1 ? tf.expandDims(split, 0) : split;
    });
    const [strides, rates] = [plane(s.strides, 1), plane(dilations, 1)];
    const result = uneven(tf, last, filter, strides, (y, k, step) =>
      tf.depthwiseConv2d(y as never, k as never, step, pad, "NHWC", rates),
    );
    return lowered(tf, toFirst(tf, result), rank);
  }
  const results = Array.from({ length: groups }, (_, g) => {
    const own = groups === 1 ? last : part(tf, last, (last as Tensor).rank - 1, g * depth, depth);
    const filter = w.make(`${g} of ${groups} ${holes}`, (v) => {
      const kernel = filters(tf, part(tf, v, 0, g * (out / groups), out / groups), holes);
      return rank === 1 ? tf.expandDims(kernel, 0) : kernel;
    });
    return rank === 3
      ? tf.conv3d(own as never, filter as never, [...s.strides] as never, "valid", "NDHWC", dilations as never)
      : tf.conv2d(own as never, filter as never, plane(s.strides, 1), pad, "NHWC", plane(dilations, 1));
  }) as Tensor[];
  const whole = groups === 1 ? results[0]! : tf.concat(results, results[0]!.rank - 1);
  return lowered(tf, toFirst(tf, whole), rank);
}

/** [..., 1, F] as [..., F, 1]. */
const turned = (rank: number) => [...Array.from({ length: rank }, (_, i) => i), rank + 1, rank];

const lowered = (tf: Tf, x: Tensor, rank: number) => (rank === 1 ? tf.squeeze(x, [2]) : x);

/** TensorFlow's depthwise kernels take one stride for both axes: where there are two, all places are computed and some taken. */
function uneven(
  tf: Tf,
  x: Tensor,
  filter: Tensor,
  [down, right]: readonly [number, number],
  convolve: (x: Tensor, filter: Tensor, stride: [number, number]) => Tensor,
): Tensor {
  if (down === right) return convolve(x, filter, [down, right]);
  const all = convolve(x, filter, [1, 1]);
  const [rows, columns] = [Math.ceil(all.shape[1]! / down), Math.ceil(all.shape[2]! / right)];
  const places = (count: number, step: number) =>
    tf.tensor1d(
      Int32Array.from({ length: count }, (_, i) => i * step),
      "int32",
    );
  return tf.gather(tf.gather(all, places(rows, down), 1), places(columns, right), 2);
}

const biased = (tf: Tf, y: Tensor, bias: Tensor | undefined): Tensor =>
  bias ? tf.add(y, tf.reshape(bias, [1, bias.size, ...y.shape.slice(2).map(() => 1)])) : y;

function conv(c: Call): Tensor {
  const x = input(c, 0);
  const w = input(c, 1);
  const spatial = x.shape.slice(2);
  const { strides, dilations, begin, end } = windowOf(c, spatial, w.shape.slice(2));
  const pads = [...begin, ...end.map((e, i) => e - spatial[i]!)];
  const made: Filters = { shape: w.shape, make: (what, f) => c.kept(1, what, f) };
  return biased(c.tf, convolved(c, x, made, int(c, "group", 1), { strides, dilations, pads }), c.tensors[2]);
}

/** The transposed convolution as one over the image with zeros between its elements, with the filters turned round. */
function convTranspose(c: Call): Tensor {
  const { tf } = c;
  const [x, w] = [input(c, 0), input(c, 1)];
  const spatial = x.shape.slice(2);
  const rank = spatial.length;
  const list = (name: string, fill: number) => ints(c, name) ?? spatial.map(() => fill);
  const [strides, dilations, extra] = [list("strides", 1), list("dilations", 1), list("output_padding", 0)];
  const wanted = ints(c, "output_shape")?.slice(-rank);
  const auto = text(c, "auto_pad", "NOTSET");
  const pads = ints(c, "pads") ?? new Array<number>(2 * rank).fill(0);
  const [before, after]: [number[], number[]] = [[], []];
  spatial.forEach((size, i) => {
    const reach = (w.shape[i + 2]! - 1) * dilations[i]!;
    const full = strides[i]! * (size - 1) + extra[i]! + reach + 1;
    let [begin, end] = auto === "VALID" ? [0, 0] : [pads[i]!, pads[i + rank]!];
    if (wanted || auto.startsWith("SAME")) {
      const total = full - (wanted?.[i] ?? size * strides[i]!);
      begin = auto === "SAME_UPPER" ? Math.floor(Math.max(0, total) / 2) : Math.ceil(Math.max(0, total) / 2);
      end = total - begin;
    }
    before.push(reach - begin);
    after.push(reach - end + extra[i]!);
  });
  const groups = int(c, "group", 1);
  const [channels, many, ...kernel] = w.shape as [number, number, ...number[]];
  const turnedRound = (v: Tensor) => {
    const split = tf.reshape(v, [groups, channels / groups, many * elementCount(kernel)]);
    const byOutput = tf.transpose(
      tf.reshape(split, [groups, channels / groups, many, elementCount(kernel)]),
      [0, 2, 1, 3],
    );
    const whole = tf.reshape(byOutput, [groups * many, channels / groups, ...kernel]);
    return tf.reverse(
      whole,
      kernel.map((_, i) => i + 2),
    );
  };
  const image = spatial.reduce<Tensor>((y, _, i) => spread(tf, y, i + 2, strides[i]!), x);
  const around = padded(tf, image, [0, 0, ...before], [0, 0, ...after]);
  const made: Filters = {
    shape: [groups * many, channels / groups, ...kernel],
    make: (what, f) => c.kept(1, what, (v) => f(turnedRound(v))),
  };
  const ones = spatial.map(() => 1);
  const y = convolved(c, around, made, groups, { strides: ones, dilations, pads: new Array(2 * rank).fill(0) });
  return biased(tf, y, c.tensors[2]);
}

export const convolutions: Rules = {
  Conv: floats(conv),
  ConvTranspose: floats(convTranspose),
};
