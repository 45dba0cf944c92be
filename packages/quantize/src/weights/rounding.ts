import type { Host, Model, Statistics } from "@pare/core";
import * as z from "zod";
import { gptqRounding, matrixOperators } from "../static/gptq-layers.ts";
import type { CodeLimits } from "./affine.ts";
import type { ChannelOperator } from "./channels.ts";
import type { Rounding } from "./codes.ts";
import type { Granularity } from "./layout.ts";

/** Option of passes that round weights. */
export const weightRounding = z
  .enum(["auto", "balanced", "nearest", "gptq"])
  .default("auto")
  .describe(
    "balanced moves a few codes by one, so that a channel's rounding errors cancel; gptq rounds 1x1 convolutions and matrix products by their inputs on the samples, others balanced; auto is gptq up to 1,024 inputs where there are samples, and balanced up to 4 million elements",
  );
export type WeightRounding = z.output<typeof weightRounding>;

/** Inputs of a layer up to which they are measured without being asked: 4 MB for each layer. */
const AUTO_INPUTS = 1024;

/** Operators whose weights are rounded by their inputs, if those can be measured. */
export function roundedByInputs(model: Model, rounding: WeightRounding, { runtime, samples }: Host): ChannelOperator[] {
  if (!runtime || !samples || (rounding !== "gptq" && rounding !== "auto")) return [];
  const all = matrixOperators(model);
  return rounding === "gptq" ? all : all.filter((o) => o.layout.inputs <= AUTO_INPUTS);
}

/** How a weight is rounded: by its inputs where they were measured, otherwise balanced. */
export function roundingBy(
  rounding: "balanced" | "nearest" | "gptq",
  granularity: Granularity,
  limits: CodeLimits,
  operator: ChannelOperator | undefined,
  statistics: Statistics,
): Rounding {
  const byInputs = rounding === "gptq" && operator ? gptqRounding(operator, statistics, limits) : undefined;
  // In a whole tensor or a short block errors cancel by themselves, or there is nothing to choose from.
  return byInputs ?? (rounding !== "nearest" && granularity.kind === "channel" ? "balanced" : "nearest");
}
