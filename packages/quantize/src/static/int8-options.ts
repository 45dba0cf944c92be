import {
  failure,
  type Host,
  type Model,
  type Node,
  type QuantizationScheme,
  type Statistics,
  type Weight,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { channelAxis, namePattern } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import type { ChannelOperator } from "../weights/channels.ts";
import type { Rounding } from "../weights/codes.ts";
import type { Granularity } from "../weights/layout.ts";
import { gptqRounding } from "./gptq-layers.ts";
import { namesOf, planQuantization, type QuantizationPlan } from "./plan.ts";
import { calibrations } from "./ranges.ts";

/** The options of `int8` and of the passes that prepare a model for it. */
export const quantizationOptions = z.strictObject({
  calibration: z.enum(calibrations).default("min-max").describe("how ranges of activations are found on the samples"),
  percentile: z.number().gt(50).max(100).default(99.99).describe("percent within the range, for percentile"),
  granularity: z
    .enum(["target", "channel", "tensor"])
    .default("target")
    .describe("what shares a scale of weights; by default as the target has it"),
  rounding: z
    .enum(["balanced", "nearest", "gptq"])
    .default("balanced")
    .describe(
      "how weights are rounded: so that errors of a channel cancel, to the nearest, or by the inputs on the samples (GPTQ; 1x1 convolutions and matrix products, others balanced)",
    ),
  reduceRange: z
    .boolean()
    .default(false)
    .describe("7 bits for weights: for CPUs whose 16-bit sums of products saturate (x64 without VNNI)"),
  ...scopeOptions,
});
export type QuantizationOptions = z.infer<typeof quantizationOptions>;

/** What a target computes in integers, of what the options mean. */
export function planned(
  model: Model,
  options: QuantizationOptions,
  { target }: Host,
): QuantizationPlan & { readonly scheme: QuantizationScheme } {
  const scheme = target?.quantization;
  if (!scheme)
    throw failure("quantize/no-scheme", `the target ${target?.name ?? ""} does not compute in integers`, {
      hint: "Choose a target with a quantization scheme, ort-x64 for one.",
    });
  const inScope = namePattern(options.include);
  const excluded = namePattern(options.exclude ?? []);
  const plan = planQuantization(model, scheme, inferTypes(model), (n) => {
    const names = namesOf(n, scheme.operators.get(n.op));
    return (
      (!options.ops || options.ops.includes(n.op)) && names.some(inScope) && !(options.exclude && names.some(excluded))
    );
  });
  return { ...plan, scheme };
}

/** How a weight is rounded; by its inputs where they were measured. */
export function roundingOf(
  rounding: QuantizationOptions["rounding"],
  operator: ChannelOperator | undefined,
  granularity: Granularity,
  statistics: Statistics,
  limits: { readonly min: number; readonly max: number },
): Rounding {
  const byInputs = rounding === "gptq" && operator ? gptqRounding(operator, statistics, limits) : undefined;
  if (byInputs) return byInputs;
  return rounding !== "nearest" && granularity.kind === "channel" ? "balanced" : "nearest";
}

/** Lowest and highest code of weights. */
export const codeLimits = ({ reduceRange }: QuantizationOptions, { weights }: QuantizationScheme) => {
  const bits = reduceRange ? 7 : (weights.bits ?? 8);
  return { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 };
};

/** What shares a scale in a weight, and how many bits are used. */
export function weightGranularity(
  scheme: QuantizationScheme,
  options: QuantizationOptions,
  op: Node,
  { tensor }: Weight,
): { granularity: Granularity; bits: number | undefined } {
  const rank = tensor.shape.length;
  const operator = scheme.operators.get(op.op);
  const wanted = options.granularity === "target" ? scheme.weights.granularity : options.granularity;
  const axis = operator?.weightAxis ?? channelAxis(op, operator?.weight ?? 1, rank);
  return {
    granularity: wanted === "tensor" || axis === undefined || rank < 2 ? { kind: "tensor" } : { kind: "channel", axis },
    bits: options.reduceRange ? 7 : scheme.weights.bits,
  };
}
