import { elementCount } from "@pare/core";
import { axisOf, type Context, type Lowerings, refuse } from "./context.ts";
import { minus, mul, plus, widened } from "./elementwise.ts";
import type { Val } from "./program.ts";

/** Largest matrix of a discrete Fourier transform. */
const MOST_WEIGHTS = 1 << 22;

/** Cosines and sines [out, size] of `sign` 2 pi k t / length, each times a factor of its column. */
function waves(
  c: Context,
  [out, size]: readonly [number, number],
  length: number,
  sign: number,
  factor: (t: number) => number,
): readonly [Val, Val] {
  if (out * size > MOST_WEIGHTS) refuse(`its transform is of ${length} numbers, too many for a matrix`);
  const of = (f: (angle: number) => number) =>
    c.full(
      "float32",
      [out, size],
      Array.from({ length: out * size }, (_, i) => {
        const [k, t] = [Math.floor(i / size), i % size];
        return factor(t) * f((sign * 2 * Math.PI * ((k * t) % length)) / length);
      }),
    );
  return [of(Math.cos), of(Math.sin)];
}

/** Numbers along an axis moved to the last place, cut or filled with zeros. */
const prepared = (c: Context, v: Val, axis: number, length: number): Val => {
  const rank = v.shape.length;
  const turned = c.transpose(
    v,
    v.shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i)),
  );
  const size = turned.shape[rank - 1]!;
  if (size > length) return c.part(turned, rank - 1, 0, length);
  const zeros = turned.shape.map(() => 0);
  return c.pad(
    turned,
    zeros,
    zeros.map((_, i) => (i === rank - 1 ? length - size : 0)),
  );
};

function dft(c: Context) {
  const x = widened(c, c.in(0), ["float32"]);
  const rank = x.shape.length;
  const axis = axisOf(c.maybe(2) ? c.constants(2, "axis")[0]! : c.int("axis", -2), rank);
  const inverse = c.int("inverse", 0) === 1;
  const oneSided = c.int("onesided", 0) === 1;
  const given = x.shape[axis]!;
  const length = c.maybe(1) ? c.constants(1, "dft_length")[0]! : inverse && oneSided ? 2 * (given - 1) : given;
  const half = Math.floor(length / 2) + 1;
  const size = inverse && oneSided ? half : length;
  const isComplex = x.shape[rank - 1] === 2;
  const outer = x.shape.slice(0, -1);
  const component = (i: number) => prepared(c, c.reshape(c.part(x, rank - 1, i, 1), outer), axis, size);
  const [re, im] = [component(0), isComplex ? component(1) : undefined];
  const out = inverse || !oneSided ? length : half;
  // Of a half that stands for both, all but the first and the middle count twice.
  const factor = (t: number) => (inverse ? 1 / length : 1) * (inverse && oneSided && t > 0 && 2 * t !== length ? 2 : 1);
  const [cos, sin] = waves(c, [out, size], length, inverse ? 1 : -1, factor);
  const real = im ? minus(c, c.dense(re, cos), c.dense(im, sin)) : c.dense(re, cos);
  const imaginary = im ? plus(c, c.dense(re, sin), c.dense(im, cos)) : c.dense(re, sin);
  const back = (v: Val) => {
    const turned = c.transpose(
      v,
      v.shape.map((_, i) => (i === axis ? rank - 2 : i === rank - 2 ? axis : i)),
    );
    return c.reshape(turned, [...turned.shape, 1]);
  };
  c.give(
    0,
    c.cast(inverse && oneSided ? back(real) : c.concat([back(real), back(imaginary)], rank - 1), c.in(0).dtype),
  );
}

function stft(c: Context) {
  const given = widened(c, c.in(0), ["float32"]);
  const [step] = c.constants(1, "frame_step") as [number];
  const window = c.maybe(2) && widened(c, c.in(2), ["float32"]);
  const length = c.maybe(3) ? c.constants(3, "frame_length")[0]! : window!.shape[0]!;
  if (given.shape.length === 3 && given.shape[2] !== 1) refuse("its signal is complex");
  const [batch, samples] = given.shape as [number, number];
  const frames = Math.floor((samples - length) / step) + 1;
  const places = Array.from({ length: frames * length }, (_, i) => Math.floor(i / length) * step + (i % length));
  const cut = c.gather(c.reshape(given, [batch, samples]), c.full("int32", [frames, length], places), 1);
  const weighted = window ? mul(c, cut, window) : cut;
  const out = c.int("onesided", 1) === 1 ? Math.floor(length / 2) + 1 : length;
  const [cos, sin] = waves(c, [out, length], length, -1, () => 1);
  const parts = [cos, sin].map((w) => c.reshape(c.dense(weighted, w), [batch, frames, out, 1]));
  c.give(0, c.cast(c.concat(parts, 3), c.in(0).dtype));
}

/** Adds blocks [N, C * kernel, L] to the places of an image that they were taken from. */
function col2im(c: Context) {
  const x = widened(c, c.in(0), ["float32", "int32"]);
  const image = c.constants(1, "image shape");
  const kernel = c.constants(2, "block shape");
  const ones = image.map(() => 1);
  const [strides, dilations] = [c.intList("strides") ?? ones, c.intList("dilations") ?? ones];
  const pads = c.intList("pads") ?? [...image, ...image].map(() => 0);
  const whole = image.map((d, i) => d + pads[i]! + pads[image.length + i]!);
  const counts = image.map(
    (_, i) => Math.floor((whole[i]! - (dilations[i]! * (kernel[i]! - 1) + 1)) / strides[i]!) + 1,
  );
  const [n, rows, columns] = x.shape as [number, number, number];
  const size = elementCount(kernel);
  const channels = rows / size;
  const at = (list: readonly number[], i: number, axis: number) =>
    Math.floor(i / elementCount(list.slice(axis + 1))) % list[axis]!;
  const places = Array.from({ length: size * columns }, (_, i) =>
    image.reduce((sum, _d, axis) => {
      const [k, l] = [Math.floor(i / columns), i % columns];
      const place = at(counts, l, axis) * strides[axis]! + at(kernel, k, axis) * dilations[axis]!;
      return sum * whole[axis]! + place;
    }, 0),
  );
  const blocks = c.transpose(c.reshape(x, [n * channels, size * columns]), [1, 0]);
  const shape = [elementCount(whole), n * channels];
  const sums = c.add("SCATTER_ND", [c.full("int32", [places.length, 1], places), blocks, c.ints(shape)], {
    shape,
    dtype: x.dtype,
  });
  const spread = c.reshape(c.transpose(sums, [1, 0]), [n, channels, ...whole]);
  c.give(0, c.cast(c.slice(spread, [0, 0, ...pads.slice(0, image.length)], [n, channels, ...image]), c.in(0).dtype));
}

export const signals: Lowerings = { DFT: dft, STFT: stft, Col2Im: col2im };
