import { attr, tensor } from "@pare/core";
import type { GradientBuilder } from "./builder.ts";
import type { Convolution } from "./convolution.ts";

/**
 * Ways to say the gradient of a convolution's weights in operators that engines have.
 * - `convolution`: a convolution of the input with the gradient as its weights, channels and batch exchanged.
 * - `windows`: the elements under each place of the kernel as a matrix; one product for each sample, summed.
 * - `places`: a product for each place of the kernel, which needs no matrix of all windows.
 * - `channels`: for depthwise convolutions, a sum of products for each place.
 * - `matrices`: for depthwise convolutions of small images, for each channel all places of the input by all of the output, of
 *   which those that the kernel joins are summed.
 */
export type WeightFormulation = "convolution" | "windows" | "places" | "channels" | "matrices";

export interface WeightShape {
  readonly batch: number | undefined;
  readonly group: number;
  /** Channels of output and input in each group. */
  readonly outputs: number;
  readonly inputs: number;
  readonly kernel: readonly number[];
  readonly input: readonly number[] | undefined;
  readonly output: readonly number[] | undefined;
}

const product = (sizes: readonly number[]) => sizes.reduce((n, s) => n * s, 1);

/** Most places of the input times places of the output for which `matrices` are faster than sums for each place. */
const MATRIX = 200_000;
/** Samples for each place of the output from which on the gradient, as weights of a convolution, is read fast enough. */
const NEAR = { many: 1 / 3, thin: 2 };
/** Fewer channels make the product for each place too thin. */
const THIN = 8;

/** The formulation that was fastest on ONNX Runtime for shapes like this one: `bench/results/gradient-formulations.json`. */
export function weightFormulation(s: WeightShape): WeightFormulation {
  if (!s.output) return "convolution";
  const length = product(s.output);
  if (isDepthwise(s)) return s.input && product(s.input) * length <= MATRIX ? "matrices" : "channels";
  if (s.group > 1) return "convolution";
  if (product(s.kernel) === 1) return "places";
  const thin = s.inputs < THIN;
  if ((s.batch ?? 0) >= length * (thin ? NEAR.thin : NEAR.many)) return "convolution";
  return thin ? "windows" : "places";
}

const isDepthwise = (s: WeightShape) => s.group > 1 && s.inputs === 1 && s.outputs === 1;

/** Formulations that can say it. */
export const weightFormulations = (s: WeightShape): WeightFormulation[] => {
  if (!s.output) return ["convolution"];
  if (isDepthwise(s)) return ["channels", "convolution", ...(s.input ? ["matrices" as const] : [])];
  return s.group > 1 ? ["convolution"] : ["convolution", "windows", "places"];
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
    input: c.input,
    output: c.output,
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
  matrices(b, c, x, dy) {
    const [size, length, count] = [product(c.input!), product(c.output!), product(c.kernel)];
    const columns = b.transpose(b.reshape(x, [-1, c.outputs, size]), [1, 2, 0]);
    const rows = b.transpose(b.reshape(dy, [-1, c.outputs, length]), [1, 0, 2]);
    const products = b.reshape(b.add("MatMul", [columns, rows]), [c.outputs, size * length]);
    const joined: { readonly at: number; readonly place: number }[] = [];
    for (let place = 0; place < count; place++)
      for (let to = 0; to < length; to++) {
        const [offset, out] = [indexIn(c.kernel, place), indexIn(c.output!, to)];
        const from = out.map((o, i) => o * c.strides[i]! - c.pads[i]! + offset[i]! * c.dilations[i]!);
        if (from.some((v, i) => v < 0 || v >= c.input![i]!)) continue;
        joined.push({ at: from.reduce((n, v, i) => n * c.input![i]! + v, 0) * length + to, place });
      }
    const sums = new Float32Array(joined.length * count);
    for (const [i, { place }] of joined.entries()) sums[i * count + place] = 1;
    const met = b.add("Gather", [products, b.ints(joined.map(({ at }) => at))], { axis: attr.int(1) });
    const sum = b.cast(b.constant(tensor("float32", [joined.length, count], sums)), b.real);
    return b.reshape(b.add("MatMul", [met, sum]), [c.outputs, 1, ...c.kernel]);
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
    const at = indexIn(c.kernel, place).map((index, i) => index * c.dilations[i]!);
    const ends = at.map((from, i) => from + (c.output![i]! - 1) * c.strides[i]! + 1);
    const size = c.input!.map((s, i) => s + c.pads[i]! + c.pads[i + rank]!);
    const whole = at.every((from, i) => from === 0 && ends[i] === size[i] && c.strides[i] === 1);
    yield whole ? padded : b.add("Slice", [padded, b.ints(at), b.ints(ends), axes, b.ints(c.strides)]);
  }
}

/** The index of an element by its number in row-major order. */
function indexIn(shape: readonly number[], flat: number): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let i = shape.length - 1; i >= 0; i--) {
    index[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
  }
  return index;
}
