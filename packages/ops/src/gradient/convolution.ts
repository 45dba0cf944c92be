import { attr } from "@pare/core";
import type { GradientBuilder, GradientRules } from "./builder.ts";
import { reversed } from "./reduce.ts";
import { weightGradient } from "./weight-gradient.ts";
import { type Geometry, geometryOf } from "./window.ts";

/** Sizes and steps of a convolution whose input is `x`, output `y` and weights `w` [M, C/group, kernel]. */
export interface Convolution extends Geometry {
  readonly group: number;
  /** Channels of the output, and of the input in each group. */
  readonly outputs: number;
  readonly inputs: number;
}

function convolutionOf(b: GradientBuilder, x: string, w: string, y: string): Convolution {
  const [outputs, inputs, ...kernel] = b.sizes(w) as [number, number, ...number[]];
  return { ...geometryOf(b, x, y, kernel), group: b.intOf("group", 1), outputs, inputs };
}

const attributes = ({ strides, dilations, group }: Convolution, pads: readonly number[]) => ({
  strides: attr.ints(strides),
  dilations: attr.ints(dilations),
  pads: attr.ints(pads),
  ...(group !== 1 && { group: attr.int(group) }),
});

/**
 * Ways to say the gradient of a convolution's input.
 * - `transposed`: the transposed convolution with the same weights.
 * - `convolution`: a convolution with the weights turned around; for strides of 1.
 */
export type InputFormulation = "transposed" | "convolution";

/** A convolution computes each place of the input, a transposed one each of the output: what is padded away is not worth it. */
export function inputFormulation(
  input: readonly number[] | undefined,
  output: readonly number[] | undefined,
): InputFormulation {
  return input && output && product(input) > 1.2 * product(output) ? "transposed" : "convolution";
}

const product = (sizes: readonly number[]) => sizes.reduce((n, s) => n * s, 1);

/** The gradient of a convolution's input: the transposed convolution with the same weights. */
function inputGradient(b: GradientBuilder, c: Convolution, dy: string, w: string): string {
  const reach = c.kernel.map((k, i) => (k - 1) * c.dilations[i]!);
  const rank = c.kernel.length;
  const pads = c.pads.map((p, i) => reach[i % rank]! - p);
  const turns = c.strides.every((s) => s === 1) && pads.every((p) => p >= 0);
  const chosen = b.formulation("convolution-input") ?? inputFormulation(c.input, c.output);
  if (turns && (chosen === "convolution" || !c.input)) {
    const flipped = flippedWeights(b, c, w);
    return b.add("Conv", [dy, flipped], attributes(c, pads));
  }
  if (!c.input || !c.output) return b.refuse(`the size of ${b.x(0)} is not known: fix the dimensions of the inputs`);
  const extra = c.input.map(
    (size, i) => size + c.pads[i]! + c.pads[i + rank]! - reach[i]! - 1 - (c.output![i]! - 1) * c.strides[i]!,
  );
  return b.add("ConvTranspose", [dy, w], {
    ...attributes(c, c.pads),
    ...(extra.some((e) => e !== 0) && { output_padding: attr.ints(extra) }),
  });
}

/** [M, C/g, kernel] as [C, M/g, kernel reversed]: the weights of the convolution that goes back. */
function flippedWeights(b: GradientBuilder, c: Convolution, w: string): string {
  const axes = c.kernel.flatMap((k, i) => (k > 1 ? [i + 2] : []));
  const turned = reversed(b, w, axes);
  const spatial = c.kernel.map((_, i) => i + 2);
  if (c.group === 1) return b.transpose(turned, [1, 0, ...spatial]);
  if (c.inputs === 1 && c.outputs === c.group) return turned;
  const [each, rest] = [c.outputs / c.group, c.kernel];
  const grouped = b.reshape(turned, [c.group, each, c.inputs, ...rest]);
  const swapped = b.transpose(grouped, [0, 2, 1, ...rest.map((_, i) => i + 3)]);
  return b.reshape(swapped, [c.group * c.inputs, each, ...rest]);
}

/** Sum over everything but channels. */
const biasGradient = (b: GradientBuilder) => {
  const axes = Array.from({ length: b.rank(b.y()) }, (_, i) => i).filter((i) => i !== 1);
  return b.reduce("ReduceSum", b.dy, axes, false);
};

export const convolutions: GradientRules = {
  Conv(b) {
    const c = convolutionOf(b, b.x(0), b.x(1), b.y());
    return [() => inputGradient(b, c, b.dy, b.x(1)), () => weightGradient(b, c, b.x(0), b.dy), () => biasGradient(b)];
  },
  // It is the gradient of the convolution from its output to its input.
  ConvTranspose(b) {
    const c = convolutionOf(b, b.y(), b.x(1), b.x(0));
    return [
      () => b.add("Conv", [b.dy, b.x(1)], attributes(c, c.pads)),
      () => weightGradient(b, c, b.dy, b.x(0)),
      () => biasGradient(b),
    ];
  },
};
