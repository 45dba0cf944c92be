import {
  attr,
  computedTensor,
  dataOf,
  type Edit,
  node,
  type QuantizationScheme,
  type ResidentTensor,
  type Tensor,
} from "@pare/core";
import type { Constants } from "../constants.ts";
import { type QuantizationOptions, weightGranularity } from "../static/int8-options.ts";
import type { QuantizationPlan, QuantizedNode } from "../static/plan.ts";
import { roundHalfEven, type ValueCodes } from "../static/value-codes.ts";
import { type EncodedWeight, type EncodeOptions, encoded, type Rounding } from "./codes.ts";
import { storeCodes } from "./encode.ts";
import type { Granularity } from "./layout.ts";

/** Largest bias code: an accumulator of 32 bits has as much room again for the products. */
const BIAS_LIMIT = 2 ** 30;
const SMALLEST_NORMAL = 1.1754943508222875e-38;

/**
 * Raises scales of weights until the codes of biases, in steps of input scale times weight scale, fit 32 bits. A channel
 * without weights takes the finest scale at which its bias fits.
 */
const roomForBias = (
  biases: readonly { readonly bias: Float32Array; readonly input: number }[],
): NonNullable<EncodeOptions["adjust"]> => ({
  key: JSON.stringify(biases.map(({ bias, input }) => [input, ...bias])),
  scales(scale, { min, max }) {
    for (let g = 0; g < scale.length; g++) {
      const most = Math.max(
        ...biases.map(({ bias, input }) => (scale.length === 1 ? largest(bias) : Math.abs(bias[g]!)) / input),
      );
      const least = Math.max(SMALLEST_NORMAL, Math.fround(most / BIAS_LIMIT));
      const isDead = !(max[g]! > 0 || min[g]! < 0);
      if (isDead || scale[g]! < least) scale[g] = least;
    }
  },
});

/** Puts codes in the place of the weights of a plan. */
export function encodeWeights(
  e: Edit,
  plan: QuantizationPlan,
  scheme: QuantizationScheme,
  codes: ReadonlyMap<string, ValueCodes>,
  options: QuantizationOptions,
  constants: Constants,
  rounding: (groups: readonly [QuantizedNode, ...QuantizedNode[]], granularity: Granularity) => Rounding,
) {
  const inputScale = ({ reads }: QuantizedNode) =>
    codes.get(plan.values.get(reads[0]!.node.inputs[reads[0]!.index]!)!)!.scale;
  const biasWeight = ({ node, operator }: QuantizedNode) =>
    operator.bias === undefined || scheme.bias === "float32"
      ? undefined
      : constants.of(node.inputs[operator.bias] ?? "");
  const byWeight = new Map<string, [QuantizedNode, ...QuantizedNode[]]>();
  for (const group of plan.groups) {
    const { node, operator } = group;
    const name = operator.weight === undefined ? "" : (node.inputs[operator.weight] ?? "");
    if (constants.of(name)) {
      const known = byWeight.get(name);
      if (known) known.push(group);
      else byWeight.set(name, [group]);
    }
  }
  const done = new Map<string, EncodedWeight>();
  for (const [name, groups] of byWeight) {
    const weight = constants.of(name)!;
    const [first, ...others] = groups.map((g) => weightGranularity(scheme, options, g.node, weight));
    const { limits: used, leastError } = first!;
    // One tensor has one decoder: operators that see its channels elsewhere make it share one scale.
    const same = others.every((o) => JSON.stringify(o) === JSON.stringify(first));
    const granularity = same ? first!.granularity : ({ kind: "tensor" } as const);
    const limits = groups.flatMap((g) => {
      const bias = biasWeight(g);
      return bias ? [{ bias: dataOf(bias.tensor as ResidentTensor<"float32">), input: inputScale(g) }] : [];
    });
    const made = encoded(weight.tensor as Tensor<"float32">, {
      name,
      format: scheme.weights.dtype as "int8",
      granularity,
      symmetric: scheme.weights.symmetric,
      rounding: rounding(groups, granularity),
      limits: used,
      leastError,
      ...(limits.length > 0 ? { adjust: roomForBias(limits) } : {}),
    });
    done.set(name, made);
    storeCodes(e, weight, made, granularity);
  }
  return {
    /** Adds the codes of a group's bias, and gives the name of what decodes them. */
    biasOf(group: QuantizedNode): string | undefined {
      const bias = biasWeight(group);
      const weight = done.get(group.node.inputs[group.operator.weight!] ?? "");
      if (!bias || !weight) return undefined;
      const values = dataOf(bias.tensor as ResidentTensor<"float32">);
      const input = inputScale(group);
      const scales = async (signal?: AbortSignal) =>
        (await weight.affine(signal)).scale.map((s) => Math.fround(s * input));
      const { shape } = weight.scale;
      const stored = e.addWeight(
        e.view.main,
        e.fresh(`${bias.name}_quantized`),
        computedTensor({
          dtype: "int32",
          shape: bias.tensor.shape,
          compute: async (signal) => {
            const scale = await scales(signal);
            return Int32Array.from(values, (b, i) => roundHalfEven(b / scale[scale.length === 1 ? 0 : i]!));
          },
        }),
      );
      const scale = e.addWeight(
        e.view.main,
        e.fresh(`${bias.name}_scale`),
        computedTensor({ dtype: "float32", shape, compute: scales }),
      );
      const to = e.fresh(`${bias.name}_dequantized`);
      const axis = shape.length > 0 ? { axis: attr.int(0) } : {};
      e.insert(e.view.main, [
        node("DequantizeLinear", [stored, scale], [to], axis, { name: `${bias.name}_DequantizeLinear` }),
      ]);
      constants.release(bias.name);
      return to;
    },
  };
}

const largest = (numbers: Float32Array) => numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
