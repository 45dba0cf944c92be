import { attr, byteLengthOf, definePass, deriveTensor, edit, node, PASS_API_VERSION, type Tensor } from "@pare/core";
import { pack } from "@pare/ops/numeric";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { gramOf } from "../static/gptq-layers.ts";
import { DECODER_BYTES, encodeWeight } from "./encode.ts";
import { granularityOf } from "./granularity.ts";
import { type RoundedFormat, roundedWeights } from "./rounded-weights.ts";
import { roundedByInputs, weightRounding } from "./rounding.ts";

/** 16 times the codes of int8, and those of int4. */
const LARGEST = 16 * 127 + 7;

const TWELVE_BITS: RoundedFormat = {
  format: "int16",
  symmetric: true,
  limits: { min: -LARGEST, max: LARGEST },
  granularity: (candidate) => granularityOf(candidate, "channel"),
  bytes: (count, groups) =>
    count + byteLengthOf("int4", count) + 2 * byteLengthOf("float32", groups) + 3 * DECODER_BYTES,
};

/**
 * Stores weights in 12 bits with a scale for each output channel: codes `16 * high + low`, `high` as int8 and `low` as int4, each
 * behind a DequantizeLinear. Three quarters of the bytes of float16, and 24 dB closer than int8; activations stay float32.
 */
export const int12Weights = definePass({
  name: "int12-weights",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({ rounding: weightRounding, ...scopeOptions }),
  observe: (model, { rounding }, host) => roundedByInputs(model, rounding, host).map(gramOf),
  run: (model, options, ctx) =>
    edit(model, (e) => {
      for (const { weight, granularity, made } of roundedWeights(model, options, TWELVE_BITS, ctx)) {
        const { codes, scale } = made;
        const high = deriveTensor(codes as Tensor<"int16">, {
          key: "high@1",
          dtype: "int8",
          map: (data) => Int8Array.from(data, highOf),
        });
        const low = deriveTensor(codes as Tensor<"int16">, {
          key: "low@1",
          dtype: "int4",
          map: (data) =>
            pack(
              "int4",
              Int8Array.from(data, (c) => c - 16 * highOf(c)),
            ),
        });
        const highScale = deriveTensor(scale, { key: "high@1", map: (data) => data.map((s) => 16 * s) });
        const axis = granularity.kind === "channel" ? { axis: attr.int(granularity.axis) } : {};
        encodeWeight(
          e,
          weight,
          [
            { suffix: "high", tensor: high },
            { suffix: "high_scale", tensor: highScale },
            { suffix: "low", tensor: low },
            { suffix: "low_scale", tensor: scale },
          ],
          ([h, hs, l, ls]) => {
            const parts = [e.fresh(`${weight.name}_high`), e.fresh(`${weight.name}_low`)] as const;
            return [
              node("DequantizeLinear", [h!, hs!], [parts[0]], axis),
              node("DequantizeLinear", [l!, ls!], [parts[1]], axis),
              node("Add", parts, [weight.name]),
            ];
          },
        );
        ctx.done(weight, { granularity: granularity.kind });
      }
    }),
});

/** Rounds to a multiple of 16, upwards half way: what is left is in -8 to 7. */
const highOf = (code: number) => (code + 8) >> 4;
