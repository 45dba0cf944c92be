import { byteLengthOf, definePass, edit, elementCount, PASS_API_VERSION } from "@pare/core";
import { weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { gramOf } from "../static/gptq-layers.ts";
import { codeLimits } from "./affine.ts";
import { encoded } from "./codes.ts";
import { DECODER_BYTES, storeCodes } from "./encode.ts";
import { granularityOf } from "./granularity.ts";
import { layoutOf } from "./layout.ts";
import { chosenRounding, roundedByInputs, roundingBy, weightRounding } from "./rounding.ts";

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
      const { rounding, symmetric, blockSize } = options;
      const matrices = new Map(roundedByInputs(model, rounding, ctx).map((o) => [o.weight, o]));
      for (const candidate of weightCandidates(model, options, ctx)) {
        const { weight, tensor: source } = candidate;
        const granularity = granularityOf(candidate, options.granularity, blockSize);
        const { groups } = layoutOf(source.shape, granularity);
        const count = elementCount(source.shape);
        const groupBytes = 4 + (symmetric ? 0 : 1);
        if (count + groups * groupBytes + DECODER_BYTES >= byteLengthOf("float32", count)) {
          ctx.skip(weight, `has ${count} elements in ${groups} groups: codes and scales would not be smaller`);
          continue;
        }
        const operator = matrices.get(weight.name);
        const made = encoded(source, {
          name: weight.name,
          format: "int8",
          granularity,
          symmetric,
          rounding: roundingBy(
            chosenRounding(rounding, count, operator),
            granularity,
            codeLimits(8, symmetric),
            operator,
            ctx.statistics,
          ),
        });
        storeCodes(e, weight, made, granularity);
        ctx.done(weight, { granularity: granularity.kind });
      }
    }),
});
