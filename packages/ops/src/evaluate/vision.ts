import { elementCount, failure } from "@pare/core";
import { roundEven } from "../numeric/formats.ts";
import { eachIndex, newData, numbersOf, stridesOf } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, float, input, int, intList, ints, text } from "./rule.ts";

/** Folds a coordinate back into [low, high] at its ends. */
function reflected(x: number, low: number, high: number): number {
  const span = high - low;
  if (span <= 0) return low;
  const away = (((x - low) % (2 * span)) + 2 * span) % (2 * span);
  return low + (away < span ? away : 2 * span - away);
}

/** Weights of the pixels around a fraction of a step, from the pixel before: linear, or Keys' cubic with a = -0.75. */
function weightsOf(mode: string, t: number): { readonly first: number; readonly weights: readonly number[] } {
  if (mode === "nearest") return { first: 0, weights: [1] };
  if (mode === "linear") return { first: 0, weights: [1 - t, t] };
  const a = -0.75;
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return { first: -1, weights: [far(t + 1), near(t), near(1 - t), far(2 - t)] };
}

/** Samples an image at places between -1 and 1. (ONNX 1.22, GridSample 20.) */
const gridSample: EvaluateRule = (call) => {
  const [x, grid] = [input(call, 0), input(call, 1)];
  const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const out = grid.shape.slice(1, -1);
  const rank = spatial.length;
  const mode = text(call, "mode", "linear");
  const padding = text(call, "padding_mode", "zeros");
  const corners = int(call, "align_corners", 0) === 1;
  const [area, outArea] = [elementCount(spatial), elementCount(out)];
  const steps = stridesOf(spatial);
  const [image, places] = [numbersOf(x), numbersOf(grid)];
  const shape = [batch, channels, ...out];
  call.budget.spend(batch * outArea * (mode === "cubic" ? 4 : 2) ** rank * (32 + channels));
  const data = newData("float64", shape) as Float64Array;
  /** The pixel that stands for one along an axis; -1 where there is none. */
  const pixel = (i: number, size: number): number => {
    if (i >= 0 && i < size) return i;
    if (padding === "zeros") return -1;
    if (padding === "border") return Math.max(0, Math.min(size - 1, i));
    return Math.trunc(corners ? reflected(i, 0, size - 1) : reflected(i, -0.5, size - 0.5));
  };
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outArea; o++) {
      // Coordinates come with the last axis first.
      const axes = spatial.map((size, axis) => {
        const g = places[(n * outArea + o) * rank + rank - 1 - axis]!;
        let c = Math.fround(corners ? ((g + 1) / 2) * (size - 1) : ((g + 1) * size - 1) / 2);
        if (mode === "nearest") c = roundEven(c);
        const [low, high] = corners ? [0, size - 1] : [-0.5, size - 0.5];
        if (c < low || c > high) {
          if (padding === "border") c = Math.max(0, Math.min(size - 1, c));
          else if (padding === "reflection") c = reflected(c, low, high);
        }
        const base = mode === "nearest" ? Math.trunc(c) : Math.floor(c);
        const { first, weights } = weightsOf(mode, c - base);
        return weights.map((weight, k) => ({ weight, at: pixel(base + first + k, size) }));
      });
      eachIndex(
        axes.map((a) => a.length),
        (index) => {
          let [weight, at] = [1, 0];
          for (let axis = 0; axis < rank; axis++) {
            const tap = axes[axis]![index[axis]!]!;
            if (tap.at < 0) return;
            weight *= tap.weight;
            at += tap.at * steps[axis]!;
          }
          for (let c = 0; c < channels; c++)
            data[(n * channels + c) * outArea + o]! += weight * image[(n * channels + c) * area + at]!;
        },
      );
    }
  return [{ dtype: x.dtype, shape, data }];
};

/** Where the pixels of an image go under affine maps. */
const affineGrid: EvaluateRule = (call) => {
  const theta = input(call, 0);
  const [batch, , ...spatial] = ints(call, 1)! as [number, number, ...number[]];
  const rank = spatial.length;
  const corners = int(call, "align_corners", 0) === 1;
  const place = (i: number, size: number) => (corners ? (2 * i) / (size - 1) - 1 : (2 * i + 1) / size - 1);
  const shape = [batch, ...spatial, rank];
  const data = newData("float64", shape) as Float64Array;
  eachIndex(shape, (index, flat) => {
    const [n, row] = [index[0]!, index[rank + 1]!];
    const position = [...spatial.map((size, axis) => place(index[axis + 1]!, size)).reverse(), 1];
    data[flat] = position.reduce((sum, p, k) => sum + p * Number(theta.data[(n * rank + row) * (rank + 1) + k]), 0);
  });
  return [{ dtype: theta.dtype, shape, data }];
};

/** A value between four pixels; 0 more than a pixel outside. */
function bilinear(at: (y: number, x: number) => number, height: number, width: number, y: number, x: number): number[] {
  if (y < -1 || y > height || x < -1 || x > width) return [0, 0, 0, 0];
  const split = (v: number, size: number) => {
    const c = Math.max(0, v);
    const low = Math.min(Math.floor(c), size - 1);
    return low >= size - 1 ? { low, high: low, t: 0 } : { low, high: low + 1, t: c - low };
  };
  const [v, h] = [split(y, height), split(x, width)];
  return [
    (1 - v.t) * (1 - h.t) * at(v.low, h.low),
    (1 - v.t) * h.t * at(v.low, h.high),
    v.t * (1 - h.t) * at(v.high, h.low),
    v.t * h.t * at(v.high, h.high),
  ];
}

/** Pools regions at sampled places. (He et al. 2017; ONNX 1.22, RoiAlign 16.) */
const roiAlign: EvaluateRule = (call) => {
  const [x, rois] = [input(call, 0), input(call, 1)];
  const which = ints(call, 2)!;
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [rows, columns] = [int(call, "output_height", 1), int(call, "output_width", 1)];
  const scale = float(call, "spatial_scale", 1);
  const half = text(call, "coordinate_transformation_mode", "half_pixel") === "half_pixel";
  const isMax = text(call, "mode", "avg") === "max";
  const ratio = int(call, "sampling_ratio", 0);
  const image = numbersOf(x);
  const shape = [which.length, channels, rows, columns];
  const data = newData("float64", shape) as Float64Array;
  eachIndex(shape, ([r, c, i, j], flat) => {
    const edge = (k: number) => Number(rois.data[r! * 4 + k]) * scale - (half ? 0.5 : 0);
    const [left, top] = [edge(0), edge(1)];
    const size = (from: number, to: number) => (half ? to - from : Math.max(1, to - from));
    const [w, h] = [size(left, edge(2)) / columns, size(top, edge(3)) / rows];
    const [ny, nx] = ratio > 0 ? [ratio, ratio] : [Math.max(0, Math.ceil(h)), Math.max(0, Math.ceil(w))];
    const plane = (which[r!]! * channels + c!) * height * width;
    call.budget.spend(64 * (1 + ny) * (1 + nx));
    let total = 0;
    let largest = Number.NEGATIVE_INFINITY;
    for (let sy = 0; sy < ny; sy++)
      for (let sx = 0; sx < nx; sx++) {
        const y = top + (i! + (sy + 0.5) / ny) * h;
        const z = left + (j! + (sx + 0.5) / nx) * w;
        const parts = bilinear((a, b) => image[plane + a * width + b]!, height, width, y, z);
        total += parts.reduce((s, v) => s + v, 0);
        largest = Math.max(largest, ...parts);
      }
    // The largest of the weighted pixels, as the standard's reference and runtimes have it.
    data[flat] = isMax ? largest : total / Math.max(1, ny * nx);
  });
  return [{ dtype: x.dtype, shape, data }];
};

/** Takes boxes from the best score down, leaving out those that overlap one taken before. */
const nonMaxSuppression: EvaluateRule = (call) => {
  const [boxes, scores] = [input(call, 0), input(call, 1)];
  const [batch, classes, count] = scores.shape as [number, number, number];
  const number = (i: number, fallback: number) => Number(call.inputs[i]?.data[0] ?? fallback);
  const most = Math.max(0, number(2, 0));
  const [overlap, least] = [number(3, 0), number(4, Number.NEGATIVE_INFINITY)];
  const centred = int(call, "center_point_box", 0) === 1;
  const box = (n: number, i: number) => {
    const [a, b, c, d] = [0, 1, 2, 3].map((k) => Number(boxes.data[(n * count + i) * 4 + k])) as [
      number,
      number,
      number,
      number,
    ];
    return centred
      ? { x: [a - c / 2, a + c / 2], y: [b - d / 2, b + d / 2] }
      : { x: [Math.min(b, d), Math.max(b, d)], y: [Math.min(a, c), Math.max(a, c)] };
  };
  type Box = ReturnType<typeof box>;
  const area = ({ x, y }: Box) => (x[1]! - x[0]!) * (y[1]! - y[0]!);
  const iou = (p: Box, q: Box) => {
    const w = Math.min(p.x[1]!, q.x[1]!) - Math.max(p.x[0]!, q.x[0]!);
    const h = Math.min(p.y[1]!, q.y[1]!) - Math.max(p.y[0]!, q.y[0]!);
    const both = Math.max(0, w) * Math.max(0, h);
    return both === 0 ? 0 : both / (area(p) + area(q) - both);
  };
  const rows: number[] = [];
  for (let n = 0; n < batch; n++) {
    call.budget.spend(64 * count);
    const all = Array.from({ length: count }, (_, i) => box(n, i));
    for (let c = 0; c < classes; c++) {
      const score = (i: number) => Number(scores.data[(n * classes + c) * count + i]);
      const order = Array.from({ length: count }, (_, i) => i)
        .filter((i) => score(i) > least)
        .sort((a, b) => score(b) - score(a) || a - b);
      const taken: number[] = [];
      call.budget.spend(64 * count);
      for (const i of order) {
        call.budget.spend(64 * (1 + taken.length));
        if (taken.length >= most) break;
        if (taken.some((t) => iou(all[t]!, all[i]!) > overlap)) continue;
        taken.push(i);
        rows.push(n, c, i);
      }
    }
  }
  return [{ dtype: "int64", shape: [rows.length / 3, 3], data: BigInt64Array.from(rows, BigInt) }];
};

/** A convolution whose taps are moved and weighted for each place. (Dai et al. 2017, Zhu et al. 2019.) */
const deformConv: EvaluateRule = (call) => {
  const [x, w, offset] = [input(call, 0), input(call, 1), input(call, 2)];
  const [bias, mask] = [call.inputs[3], call.inputs[4]];
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [filters, depth, kh, kw] = w.shape as [number, number, number, number];
  if (x.shape.length !== 4) throw failure("ops/shape", "DeformConv is evaluated on images of two axes");
  const [groups, moved] = [int(call, "group", 1), int(call, "offset_group", 1)];
  const [sy, sx] = intList(call, "strides") ?? [1, 1];
  const [dy, dx] = intList(call, "dilations") ?? [1, 1];
  const [top, left] = intList(call, "pads") ?? [0, 0, 0, 0];
  const [, , rows, columns] = offset.shape as [number, number, number, number];
  const [image, taps] = [numbersOf(x), kh * kw];
  const shape = [batch, filters, rows, columns];
  call.budget.spend(32 * elementCount(shape) * depth * taps);
  const data = newData("float64", shape) as Float64Array;
  eachIndex(shape, ([n, f, i, j], flat) => {
    let sum = bias ? Number(bias.data[f!]) : 0;
    for (let c = 0; c < depth; c++) {
      const channel = Math.floor(f! / (filters / groups)) * depth + c;
      const part = Math.floor(channel / (channels / moved));
      const plane = (n! * channels + channel) * height * width;
      const pixel = (a: number, b: number) =>
        a < 0 || b < 0 || a >= height || b >= width ? 0 : image[plane + a * width + b]!;
      for (let t = 0; t < taps; t++) {
        const shift = (k: number) =>
          Number(offset.data[((n! * moved * taps * 2 + (part * taps + t) * 2 + k) * rows + i!) * columns + j!]);
        const y = i! * sy! - top! + Math.floor(t / kw) * dy! + shift(0);
        const z = j! * sx! - left! + (t % kw) * dx! + shift(1);
        const [a, b] = [Math.floor(y), Math.floor(z)];
        const value =
          (1 - y + a) * ((1 - z + b) * pixel(a, b) + (z - b) * pixel(a, b + 1)) +
          (y - a) * ((1 - z + b) * pixel(a + 1, b) + (z - b) * pixel(a + 1, b + 1));
        const weight = mask ? Number(mask.data[((n! * moved * taps + part * taps + t) * rows + i!) * columns + j!]) : 1;
        sum += value * weight * Number(w.data[(f! * depth + c) * taps + t]);
      }
    }
    data[flat] = sum;
  });
  return [{ dtype: x.dtype, shape, data }];
};

/** The largest pixel of each cell of a region with whole borders. */
const maxRoiPool: EvaluateRule = (call) => {
  const [x, rois] = [input(call, 0), input(call, 1)];
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [rows, columns] = intList(call, "pooled_shape")! as [number, number];
  const scale = float(call, "spatial_scale", 1);
  const shape = [rois.shape[0]!, channels, rows, columns];
  const data = newData("float64", shape) as Float64Array;
  eachIndex(shape, ([r, c, i, j], flat) => {
    const edge = (k: number) => Math.round(Number(rois.data[r! * 5 + k]) * scale);
    const cell = (from: number, to: number, index: number, count: number, size: number) => {
      const step = Math.max(1, to - from + 1) / count;
      const clamp = (v: number) => Math.max(0, Math.min(size, v));
      return [clamp(from + Math.floor(index * step)), clamp(from + Math.ceil((index + 1) * step))] as const;
    };
    const [y0, y1] = cell(edge(2), edge(4), i!, rows, height);
    const [x0, x1] = cell(edge(1), edge(3), j!, columns, width);
    const plane = (Number(rois.data[r! * 5]) * channels + c!) * height * width;
    call.budget.spend(8 * Math.max(0, y1 - y0) * Math.max(0, x1 - x0));
    let best = y1 <= y0 || x1 <= x0 ? 0 : Number.NEGATIVE_INFINITY;
    for (let y = y0; y < y1; y++)
      for (let z = x0; z < x1; z++) best = Math.max(best, Number(x.data[plane + y * width + z]));
    data[flat] = best;
  });
  return [{ dtype: x.dtype, shape, data }];
};

export const visions: EvaluateRules = {
  GridSample: gridSample,
  AffineGrid: affineGrid,
  RoiAlign: roiAlign,
  MaxRoiPool: maxRoiPool,
  NonMaxSuppression: nonMaxSuppression,
  DeformConv: deformConv,
};
