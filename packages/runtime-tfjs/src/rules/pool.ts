import { elementCount } from "@pare/core";
import { type Window, windowOf } from "@pare/ops/evaluate";
import type { Tensor, Tf } from "../engine.ts";
import { everyNth, padded, part } from "./axes.ts";
import { type Call, floats, input, int, ints, type Rules, refuse } from "./call.ts";
import { toFirst, toLast } from "./convolution.ts";

function windowIn(c: Call, x: Tensor): Window {
  const kernel = ints(c, "kernel_shape") ?? refuse(`${c.node.op} has no kernel_shape`);
  if (kernel.length !== x.rank - 2) refuse(`${c.node.op}: a window [${kernel}] over [${x.shape}]`);
  return windowOf(c, x.shape.slice(2), kernel);
}

const reach = (w: Window, i: number) => (w.kernel[i]! - 1) * w.dilations[i]! + 1;

/** The image with as much around it that every window lies in it; windows that go beyond the end pad it further. */
function surrounded(tf: Tf, x: Tensor, w: Window, fill: number): Tensor {
  const after = w.out.map((count, i) => (count - 1) * w.strides[i]! + reach(w, i) - w.begin[i]! - x.shape[i + 2]!);
  return padded(tf, x, [0, 0, ...w.begin], [0, 0, ...after], fill);
}

/** For each place in the window, what lies there in all windows: [N, C, ...out]. */
function* taps(
  tf: Tf,
  image: Tensor,
  w: Window,
): Generator<{ readonly values: Tensor; readonly at: readonly number[] }> {
  for (let k = 0; k < elementCount(w.kernel); k++) {
    let rest = k;
    const at = [...w.kernel].reverse().map((size) => {
      const index = rest % size;
      rest = Math.floor(rest / size);
      return index;
    });
    at.reverse();
    const values = at.reduce((x, index, i) => {
      const run = part(tf, x, i + 2, index * w.dilations[i]!, (w.out[i]! - 1) * w.strides[i]! + 1);
      return everyNth(tf, run, i + 2, w.strides[i]!);
    }, image);
    yield { values, at };
  }
}

/** Whether the engine has kernels for these windows. */
const isPlain = (w: Window) => w.kernel.length < 3 && w.dilations.every((d) => d === 1);

/** By a kernel of the engine, which wants two axes and channels last. */
function byKernel(
  tf: Tf,
  image: Tensor,
  w: Window,
  pool: (x: Tensor, kernel: [number, number], strides: [number, number]) => Tensor,
): Tensor {
  const line = w.kernel.length === 1;
  const plane = (list: readonly number[]) => (line ? [list[0]!, 1] : [...list]) as [number, number];
  const x = line ? tf.expandDims(image, 3) : image;
  const y = toFirst(tf, pool(toLast(tf, x), plane(w.kernel), plane(w.strides)));
  return line ? tf.squeeze(y, [3]) : y;
}

/** Flat places in the whole tensor that a place in the window has in all windows; by columns where the node says so. */
function placesAt(c: Call, shape: readonly number[], w: Window, at: readonly number[]): Int32Array {
  const spatial = shape.slice(2);
  const byColumn = int(c, "storage_order", 0) === 1;
  const steps = new Array<number>(spatial.length).fill(1);
  const order = spatial.map((_, i) => i);
  if (!byColumn) order.reverse();
  order.reduce((step, i) => {
    steps[i] = step;
    return step * spatial[i]!;
  }, 1);
  const area = elementCount(spatial);
  const count = elementCount(w.out);
  return Int32Array.from({ length: shape[0]! * shape[1]! * count }, (_, flat) => {
    let rest = flat % count;
    let place = Math.floor(flat / count) * area;
    for (let i = spatial.length - 1; i >= 0; i--) {
      const position = rest % w.out[i]!;
      rest = Math.floor(rest / w.out[i]!);
      place += (position * w.strides[i]! - w.begin[i]! + at[i]! * w.dilations[i]!) * steps[i]!;
    }
    return place;
  });
}

function maxPool(c: Call): Tensor | Tensor[] {
  const { tf } = c;
  const x = input(c, 0);
  const w = windowIn(c, x);
  const image = surrounded(tf, x, w, Number.NEGATIVE_INFINITY);
  if (!c.node.outputs[1]) {
    if (isPlain(w))
      return byKernel(tf, image, w, (y, kernel, strides) => tf.maxPool(y as never, kernel, strides, "valid"));
    return [...taps(tf, image, w)].map(({ values }) => values).reduce((a, b) => tf.maximum(a, b));
  }
  let best: Tensor | undefined;
  let where: Tensor | undefined;
  for (const { values, at } of taps(tf, image, w)) {
    const places = tf.tensor(placesAt(c, x.shape, w, at), values.shape, "int32");
    const better = best ? tf.greater(values, best) : undefined;
    where = better ? tf.where(better, places, where!) : places;
    best = best ? tf.maximum(best, values) : values;
  }
  return [best!, where!];
}

/** Sums over windows; `by` says how many elements each counts. */
function averagePool(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const w = windowIn(c, x);
  const image = surrounded(tf, x, w, 0);
  const size = elementCount(w.kernel);
  const mean = isPlain(w)
    ? byKernel(tf, image, w, (y, kernel, strides) => tf.avgPool(y as never, kernel, strides, "valid"))
    : tf.div(
        [...taps(tf, image, w)].map(({ values }) => values).reduce((a, b) => tf.add(a, b)),
        size,
      );
  const included = int(c, "count_include_pad", 0) === 1;
  const counts = w.out.map((count, i) =>
    Float32Array.from({ length: count }, (_, position) => {
      let inside = 0;
      for (let k = 0; k < w.kernel[i]!; k++) {
        const place = position * w.strides[i]! - w.begin[i]! + k * w.dilations[i]!;
        if (included ? place < w.end[i]! : place >= 0 && place < x.shape[i + 2]!) inside++;
      }
      return w.kernel[i]! / inside;
    }),
  );
  return counts.reduce<Tensor>((y, factors, i) => {
    if (factors.every((f) => f === 1)) return y;
    const shape = y.shape.map((_, k) => (k === i + 2 ? factors.length : 1));
    return tf.mul(y, tf.tensor(factors, shape));
  }, mean);
}

const powers = (c: Call) => {
  const { tf } = c;
  const p = int(c, "p", 2);
  return {
    up: (x: Tensor) => (p === 1 ? tf.abs(x) : p === 2 ? tf.square(x) : tf.pow(tf.abs(x), p)),
    down: (x: Tensor) => (p === 1 ? x : p === 2 ? tf.sqrt(x) : tf.pow(x, 1 / p)),
  };
};

function lpPool(c: Call): Tensor {
  const { tf } = c;
  const x = input(c, 0);
  const { up, down } = powers(c);
  const w = windowIn(c, x);
  const image = up(surrounded(tf, x, w, 0));
  return down([...taps(tf, image, w)].map(({ values }) => values).reduce((a, b) => tf.add(a, b)));
}

const overImage = (reduce: (tf: Tf, x: Tensor, axes: number[], c: Call) => Tensor) =>
  floats((c) => {
    const x = input(c, 0);
    const axes = x.shape.slice(2).map((_, i) => i + 2);
    return axes.length === 0 ? x : reduce(c.tf, x, axes, c);
  });

export const pools: Rules = {
  AveragePool: floats(averagePool),
  GlobalAveragePool: overImage((tf, x, axes) => tf.mean(x, axes, true)),
  GlobalLpPool: overImage((tf, x, axes, c) => powers(c).down(tf.sum(powers(c).up(x), axes, true))),
  GlobalMaxPool: overImage((tf, x, axes) => tf.max(x, axes, true)),
  LpPool: floats(lpPool),
  MaxPool: floats(maxPool),
};
