import {
  failure,
  type Host,
  type Model,
  type Node,
  type QuantizationScheme,
  type Statistics,
  type Target,
  type Weight,
} from "@pare/core";
import { inferTypes } from "@pare/ops/infer";
import { channelAxis, namePattern } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { type CodeLimits, codeLimits } from "../weights/affine.ts";
import type { ChannelOperator } from "../weights/channels.ts";
import type { Rounding } from "../weights/codes.ts";
import type { Granularity } from "../weights/layout.ts";
import { roundingBy } from "../weights/rounding.ts";
import { namesOf, planQuantization, type QuantizationPlan, type QuantizedNode } from "./plan.ts";
import { calibrations } from "./ranges.ts";

const calibration = z.enum(calibrations).describe("how ranges of activations are found on the samples");
const percentile = z.number().gt(50).max(100).describe("percent within the range, for percentile");
const symmetric = z
  .boolean()
  .describe("whether zero is in the middle of the codes of activations, also where the target does not ask for it");
const granularity = z
  .enum(["target", "channel", "tensor"])
  .describe("what shares a scale of weights; by default as the target has it");
const rounding = z
  .enum(["balanced", "nearest", "gptq"])
  .describe(
    "how weights are rounded: so that errors of a channel cancel, to the nearest, or by the inputs on the samples (GPTQ; 1x1 convolutions and matrix products, others balanced)",
  );
const weightRanges = z
  .enum(["min-max", "mse"])
  .describe("how ranges of weights are found: whole, or with what is widest cut where that leaves less squared error");
const bits = z.int().min(2).max(8).describe("bits of codes of weights that are used; by default as the target has it");

/** What may be said of single layers. */
const override = z.strictObject({
  names: z.array(z.string().min(1)).min(1).describe("names of nodes, their outputs or their weights, * for anything"),
  skip: z.boolean().optional().describe("leave the layer in float32"),
  calibration: calibration.optional(),
  percentile: percentile.optional(),
  symmetric: symmetric.optional(),
  granularity: granularity.optional(),
  rounding: rounding.optional(),
  weightRanges: weightRanges.optional(),
  bits: bits.optional(),
});

/** The options of `int8` and of the passes that prepare a model for it. */
export const quantizationOptions = z.strictObject({
  calibration: calibration.default("min-max"),
  percentile: percentile.default(99.99),
  symmetric: symmetric.default(false),
  granularity: granularity.default("target"),
  rounding: rounding.default("balanced"),
  weightRanges: weightRanges.default("min-max"),
  bits: bits.optional(),
  reduceRange: z
    .boolean()
    .default(false)
    .describe("7 bits for weights: for CPUs whose 16-bit sums of products saturate (x64 without VNNI)"),
  overrides: z
    .array(override)
    .default([])
    .describe(
      "other options for layers by name, later ones before earlier ones; the range of a value that layers share is found as the first that reads it says",
    ),
  ...scopeOptions,
});
export type QuantizationOptions = z.infer<typeof quantizationOptions>;

/** The options of one layer, with all overrides that its names match. */
export function optionsOf(
  options: QuantizationOptions,
  node: Node,
  scheme: QuantizationScheme,
): QuantizationOptions & { readonly skip?: boolean } {
  const names = namesOf(node, scheme.operators.get(node.op));
  const meant = options.overrides.filter((o) => names.some(namePattern(o.names)));
  return Object.assign({}, options, ...meant.map(({ names: _, ...own }) => own));
}

/** @throws PareError `quantize/no-scheme` */
export function schemeOf(target: Target | undefined): QuantizationScheme {
  if (target?.quantization) return target.quantization;
  throw failure("quantize/no-scheme", `the target ${target?.name ?? ""} does not compute in integers`, {
    hint: "Choose a target with a quantization scheme, ort-x64 for one.",
  });
}

/** What a target computes in integers, of what the options mean. */
export function planned(
  model: Model,
  options: QuantizationOptions,
  { target }: Host,
): QuantizationPlan & { readonly scheme: QuantizationScheme } {
  const scheme = schemeOf(target);
  const inScope = namePattern(options.include);
  const excluded = namePattern(options.exclude ?? []);
  const plan = planQuantization(model, scheme, inferTypes(model), (n) => {
    const names = namesOf(n, scheme.operators.get(n.op));
    return (
      (!options.ops || options.ops.includes(n.op)) &&
      names.some(inScope) &&
      !(options.exclude && names.some(excluded)) &&
      !optionsOf(options, n, scheme).skip
    );
  });
  return { ...plan, scheme };
}

/** How the ranges of the values of a plan are found: as the options of the first layer say that reads or, else, gives them. */
export function valueOptions(
  { groups, values }: QuantizationPlan,
  scheme: QuantizationScheme,
  options: QuantizationOptions,
): (value: string) => QuantizationOptions {
  const found = new Map<string, QuantizationOptions>();
  const layers = groups.filter((g) => g.operator.role === "compute");
  const take = (value: string, { node }: QuantizedNode) =>
    found.has(value) || !values.has(value) || found.set(value, optionsOf(options, node, scheme));
  if (options.overrides.length > 0) {
    for (const g of layers) for (const { node, index } of g.reads) take(node.inputs[index]!, g);
    for (const g of layers) take(g.output, g);
  }
  return (value) => found.get(value) ?? options;
}

/** How the weight of a layer is rounded; by its inputs where they were measured. */
export function roundingOf(
  options: QuantizationOptions,
  scheme: QuantizationScheme,
  node: Node,
  matrix: ChannelOperator | undefined,
  granularity: Granularity,
  statistics: Statistics,
): Rounding {
  const own = optionsOf(options, node, scheme);
  return roundingBy(own.rounding, granularity, limitsOf(own, scheme), matrix, statistics);
}

/** Layers of a plan that are rounded by their inputs. */
export const isRoundedByInputs = (options: QuantizationOptions, scheme: QuantizationScheme) => (o: ChannelOperator) =>
  optionsOf(options, o.node, scheme).rounding === "gptq";

/** The codes of weights that are used. */
const limitsOf = ({ bits, reduceRange }: QuantizationOptions, { weights }: QuantizationScheme): CodeLimits =>
  codeLimits(Math.min(bits ?? 8, reduceRange ? 7 : 8, weights.bits ?? 8), weights.symmetric);

/** What shares a scale in a weight, which codes are used, and whether scales are searched that leave the least error. */
export function weightGranularity(
  scheme: QuantizationScheme,
  options: QuantizationOptions,
  op: Node,
  { tensor }: Weight,
): { granularity: Granularity; limits: CodeLimits; leastError: boolean } {
  const own = optionsOf(options, op, scheme);
  const rank = tensor.shape.length;
  const operator = scheme.operators.get(op.op);
  const wanted = own.granularity === "target" ? (operator?.granularity ?? scheme.weights.granularity) : own.granularity;
  const axis = operator?.weightAxis ?? channelAxis(op, operator?.weight ?? 1, rank);
  return {
    granularity: wanted === "tensor" || axis === undefined || rank < 2 ? { kind: "tensor" } : { kind: "channel", axis },
    limits: limitsOf(own, scheme),
    leastError: own.weightRanges === "mse",
  };
}
