import { attr } from "@pare/core";
import type { GradientBuilder } from "./builder.ts";
import type { Convolution } from "./convolution.ts";

/**
 * Ways to say the gradient of a convolution's weights in operators that engines have.
 * - `convolution`: a convolution of the input with the gradient as its weights, channels and batch exchanged.
 * - `windows`: the elements under each place of the kernel as a matrix; one product for each sample, summed.
 * - `rows`: images moved by the columns of the kernel against gradients moved by its rows, which takes fewer copies than a
 *   matrix of all windows; in one product for each sample. For two dimensions and strides of 1.
 * - `places`: a product for each place of the kernel, which needs no matrix of all windows.
 * - `channels`: for depthwise convolutions, a sum of products for each place.
 */
export type WeightFormulation = "convolution" | "windows" | "rows" | "places" | "channels";

export interface WeightShape {
  readonly batch: number | undefined;
  readonly group: number;
  /** Channels of output and input in each group. */
  readonly outputs: number;
  readonly inputs: number;
  readonly kernel: readonly number[];
  readonly output: readonly number[] | undefined;
  readonly strides: readonly number[];
}

const range = (to: number) => Array.from({ length: to }, (_, i) => i);
const product = (sizes: readonly number[]) => sizes.reduce((n, s) => n * s, 1);

/**
 * The formulation that was fastest on ONNX Runtime for shapes like this one (`bench/results/gradient-formulations.json`): the one
 * that copies least. Windows hold the input once for each place of the kernel; rows once for each column, and the gradient for each row.
 */
export function weightFormulation(s: WeightShape): WeightFormulation {
  if (!s.output) return "convolution";
  if (s.group > 1) return s.inputs === 1 && s.outputs === 1 ? "channels" : "convolution";
  const places = product(s.kernel);
  if (places === 1) return "places";
  const [rows, columns] = s.kernel as [number, number];
  return slides(s) && rows * s.outputs + columns * s.inputs < places * s.inputs ? "rows" : "windows";
}

const slides = (s: WeightShape) => s.kernel.length === 2 && s.strides.every((step) => step === 1);

/** Formulations that can say it. */
export const weightFormulations = (s: WeightShape): WeightFormulation[] => {
  if (!s.output) return ["convolution"];
  if (s.group > 1) return s.inputs === 1 && s.outputs === 1 ? ["channels", "convolution"] : ["convolution"];
  return ["convolution", "windows", "places", ...(slides(s) ? ["rows" as const] : [])];
};

/** The gradient of the weights [M, C/g, kernel] of a convolution of `x` [N, C, ...] whose output's gradient is `dy` [N, M, ...]. */
export function weightGradient(b: GradientBuilder, c: Convolution, x: string, dy: string): string {
  const batch = b.shape(x)?.[0];
  const shape: WeightShape = {
    batch: typeof batch === "number" ? batch : undefined,
    group: c.group,
    outputs: c.outputs / c.group,
    inputs: c.inputs,
    kernel: c.kernel,
    output: c.output,
    strides: c.strides,
  };
  const asked = b.formulation("convolution-weight");
  const possible = weightFormulations(shape);
  const chosen = possible.find((p) => p === asked) ?? weightFormulation(shape);
  return write[chosen](b, c, x, dy);
}

type Write = (b: GradientBuilder, c: Convolution, x: string, dy: string) => string;

const write: Readonly<Record<WeightFormulation, Write>> = {
  convolution(b, c, x, dy) {
    const spatial = c.kernel.map((_, i) => i + 2);
    const swap = [1, 0, ...spatial];
    const size = c.input ?? c.kernel.map(() => -1);
    // [N, C, ...] as [C/g, g * N, ...]: batches are what is summed over, in each group.
    const input =
      c.group === 1
        ? b.transpose(x, swap)
        : b.reshape(
            b.transpose(b.add("Reshape", [x, splitChannels(b, c, x)]), [2, 1, 0, ...spatial.map((s) => s + 1)]),
            [c.inputs, -1, ...size],
          );
    const made = b.add("Conv", [input, b.transpose(dy, swap)], {
      strides: attr.ints(c.dilations),
      dilations: attr.ints(c.strides),
      pads: attr.ints(c.pads),
      ...(c.group !== 1 && { group: attr.int(c.group) }),
    });
    // Windows that the strides leave out at the end would be places of a larger kernel.
    const whole = c.kernel.some((k, i) => windowsLeft(c, i) !== k);
    const cut = whole ? b.add("Slice", [made, b.ints(spatial.map(() => 0)), b.ints(c.kernel), b.ints(spatial)]) : made;
    return b.transpose(cut, swap);
  },
  windows(b, c, x, dy) {
    const parts = [...placesOf(b, c, x)];
    const [length, count] = [product(c.output!), product(c.kernel)];
    const joined = parts.length === 1 ? parts[0]! : b.add("Concat", parts, { axis: attr.int(1) });
    const columns = b.reshape(joined, [-1, count * c.inputs, length]);
    const rows = b.reshape(dy, [-1, c.outputs, length]);
    const each = b.add("MatMul", [rows, b.transpose(columns, [0, 2, 1])]);
    const summed = b.reshape(b.reduce("ReduceSum", each, [0], false), [c.outputs, count, c.inputs]);
    return b.reshape(b.transpose(summed, [0, 2, 1]), [c.outputs, c.inputs, ...c.kernel]);
  },
  rows(b, c, x, dy) {
    const [[kh, kw], [dh, dw], [top, left, bottom, right]] = [c.kernel, c.dilations, c.pads] as [
      [number, number],
      [number, number],
      [number, number, number, number],
    ];
    const [[height], [rows, columns]] = [c.input!, c.output!] as [[number], [number, number]];
    const all = height + top + bottom;
    const pad = (v: string, up: number, before: number, down: number, after: number) =>
      b.add("Pad", [v, b.ints([0, 0, up, before, 0, 0, down, after])]);
    const join = (parts: readonly string[]) =>
      parts.length === 1 ? parts[0]! : b.add("Concat", parts, { axis: attr.int(1) });
    // Column j of the kernel sees the image moved to the left by j, as wide as the output.
    const width = c.input![1]! + left + right;
    const images = range(kw).map((j) => pad(x, top, left - j * dw, bottom, columns + j * dw - width + right));
    const moved = range(kh).map((i) => pad(dy, i * dh, 0, all - rows - i * dh, 0));
    const rowsSide = b.reshape(join(moved), [-1, kh * c.outputs, all * columns]);
    const columnsSide = b.reshape(join(images), [-1, kw * c.inputs, all * columns]);
    const each = b.add("MatMul", [rowsSide, b.transpose(columnsSide, [0, 2, 1])]);
    const summed = b.reshape(b.reduce("ReduceSum", each, [0], false), [kh, c.outputs, kw, c.inputs]);
    return b.transpose(summed, [1, 3, 0, 2]);
  },
  places(b, c, x, dy) {
    const length = product(c.output!);
    const rows = b.reshape(dy, [-1, c.outputs, length]);
    const products = Array.from(placesOf(b, c, x), (part) => {
      const columns = b.transpose(b.reshape(part, [-1, c.inputs, length]), [0, 2, 1]);
      return b.reduce("ReduceSum", b.add("MatMul", [rows, columns]), [0], false);
    });
    return joinPlaces(b, c, products, [c.outputs, c.inputs]);
  },
  channels(b, c, x, dy) {
    const axes = [0, ...c.kernel.map((_, i) => i + 2)];
    const sums = Array.from(placesOf(b, c, x), (part) => b.reduce("ReduceSum", b.calc("Mul", part, dy), axes, false));
    return joinPlaces(b, c, sums, [c.outputs, 1]);
  },
};

/** One value for each place of the kernel as the weights. */
function joinPlaces(b: GradientBuilder, c: Convolution, parts: readonly string[], shape: readonly number[]): string {
  const whole = [...shape, ...c.kernel];
  if (parts.length === 1) return b.reshape(parts[0]!, whole);
  const columns = parts.map((p) => b.reshape(p, [-1, 1]));
  return b.reshape(b.add("Concat", columns, { axis: attr.int(1) }), whole);
}

/** [N, g, C/g, ...]. */
function splitChannels(b: GradientBuilder, c: Convolution, x: string): string {
  const spatial = c.input ? b.ints(c.input) : b.dims(x, 2);
  return b.add("Concat", [b.dims(x, 0, 1), b.ints([c.group, c.inputs]), spatial], { axis: attr.int(0) });
}

/** Places at which the gradient, spread by the strides, fits over the padded input. */
function windowsLeft(c: Convolution, i: number): number {
  if (!c.input || !c.output) return c.strides[i] === 1 ? c.kernel[i]! : -1;
  const padded = c.input[i]! + c.pads[i]! + c.pads[i + c.kernel.length]!;
  return Math.floor((padded - (c.output[i]! - 1) * c.strides[i]! - 1) / c.dilations[i]!) + 1;
}

/** What each place of the kernel sees of the padded input, in row-major order: each [N, C, output]. */
function* placesOf(b: GradientBuilder, c: Convolution, x: string): Generator<string> {
  const rank = c.kernel.length;
  const padded = c.pads.every((p) => p === 0)
    ? x
    : b.add("Pad", [x, b.ints([0, 0, ...c.pads.slice(0, rank), 0, 0, ...c.pads.slice(rank)])]);
  const axes = b.ints(c.kernel.map((_, i) => i + 2));
  for (let place = 0; place < product(c.kernel); place++) {
    let rest = place;
    const at = c.kernel.map((_, i) => {
      const below = product(c.kernel.slice(i + 1));
      const index = Math.floor(rest / below);
      rest %= below;
      return index * c.dilations[i]!;
    });
    const ends = at.map((from, i) => from + (c.output![i]! - 1) * c.strides[i]! + 1);
    const size = c.input!.map((s, i) => s + c.pads[i]! + c.pads[i + rank]!);
    const whole = at.every((from, i) => from === 0 && ends[i] === size[i] && c.strides[i] === 1);
    yield whole ? padded : b.add("Slice", [padded, b.ints(at), b.ints(ends), axes, b.ints(c.strides)]);
  }
}
