import { definePass, edit, PASS_API_VERSION } from "@pare/core";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { gramOf } from "../static/gptq-layers.ts";
import { codeLimits } from "./affine.ts";
import { DECODER_BYTES, storeCodes } from "./encode.ts";
import { granularityOf } from "./granularity.ts";
import { type RoundedFormat, roundedWeights } from "./rounded-weights.ts";
import { roundedByInputs, weightRounding } from "./rounding.ts";

/**
 * Stores weights as int8 codes behind a DequantizeLinear; activations stay float32. `channel` has a scale for each
 * output channel (and rounds so that a channel's errors cancel), `block` one for each `blockSize` elements along the axis that is summed over, `tensor` a single one.
 * The scales are found when the weights are first read, so nothing is read before export.
 */
export const int8Weights = definePass({
  name: "int8-weights",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({
    granularity: z.enum(["tensor", "channel", "block"]).default("channel").describe("what shares a scale"),
    blockSize: z.int().min(8).max(65536).default(32).describe("elements of a block, for granularity block"),
    rounding: weightRounding,
    symmetric: z.boolean().default(true).describe("zero point 0; otherwise the whole range of each group is used"),
    ...scopeOptions,
  }),
  observe: (model, { rounding }, host) => roundedByInputs(model, rounding, host).map(gramOf),
  run: (model, options, ctx) =>
    edit(model, (e) => {
      const { granularity: kind, blockSize, symmetric, ...rounded } = options;
      const format: RoundedFormat = {
        format: "int8",
        symmetric,
        limits: codeLimits(8, symmetric),
        granularity: (candidate) => granularityOf(candidate, kind, blockSize),
        bytes: (count, groups) => count + groups * (4 + (symmetric ? 0 : 1)) + DECODER_BYTES,
      };
      for (const { weight, granularity, made } of roundedWeights(model, rounded, format, ctx)) {
        storeCodes(e, weight, made, granularity);
        ctx.done(weight, { granularity: granularity.kind });
      }
    }),
});
