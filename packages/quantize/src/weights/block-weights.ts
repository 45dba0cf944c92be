import { byteLengthOf, definePass, edit, elementCount, PASS_API_VERSION } from "@pare/core";
import { codeFormats } from "@pare/ops/kernels";
import { reductionAxis, weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { products, scopeOptions } from "../options.ts";
import { gptqRounding, gramOf, matrixOperators } from "../static/gptq-layers.ts";
import { encoded } from "./codes.ts";
import { DECODER_BYTES, storeCodes } from "./encode.ts";
import { layoutOf } from "./layout.ts";

/**
 * Stores weights of matrix products as int4 or int8 codes with a scale for each block along the axis that is summed over, behind
 * a DequantizeLinear with `block_size`; arithmetic stays float32. Exporters fuse it where their engine has an operator for it
 * (ONNX Runtime: MatMulNBits). With samples, weights are rounded by their inputs (Frantar et al. 2022, "GPTQ",
 * arXiv:2210.17323); without, each to the nearest code, and nothing is read before export. Convolutions are left alone unless
 * `ops` names them: engines decode their blocks in every run.
 */
export const blockWeights = definePass({
  name: "block-weights",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({
    bits: z
      .union([z.literal(4), z.literal(8)])
      .default(4)
      .describe("bits of a code"),
    blockSize: z.literal([16, 32, 64, 128, 256]).default(32).describe("elements that share a scale"),
    symmetric: z.boolean().default(false).describe("zero point 0; otherwise each block has a zero point too"),
    scales: z
      .enum(["auto", "range", "least-error"])
      .default("auto")
      .describe(
        "whether scales keep the largest element of a block, or are those of least squared error; auto is the latter for 4 bits",
      ),
    rounding: z
      .enum(["auto", "nearest", "gptq"])
      .default("auto")
      .describe("by the inputs of each layer on the samples, or to the nearest; auto is gptq where there are samples"),
    ...scopeOptions,
    ops: scopeOptions.ops.describe("operators whose weights are meant, by default MatMul and Gemm"),
  }),
  observe: (model, { rounding }, { runtime, samples }) =>
    rounding !== "nearest" && runtime && samples ? matrixOperators(model).map(gramOf) : [],
  run: (model, options, ctx) =>
    edit(model, (e) => {
      const { bits, blockSize, symmetric, scales, rounding } = options;
      const format = bits === 4 ? "int4" : "int8";
      const matrices = new Map(rounding === "nearest" ? [] : matrixOperators(model).map((o) => [o.weight, o]));
      for (const candidate of weightCandidates(model, { ...options, ops: options.ops ?? products }, ctx)) {
        const { weight, role } = candidate;
        const { shape } = candidate.tensor;
        const summed = reductionAxis(role.op, role.input, shape.length);
        if (summed === undefined || shape.length < 2) {
          ctx.skip(weight, "is not summed over along one axis");
          continue;
        }
        const granularity = { kind: "block", axis: role.storedAxis(summed), size: blockSize } as const;
        const { groups } = layoutOf(shape, granularity);
        const count = elementCount(shape);
        const parameters = byteLengthOf("float32", groups) + (symmetric ? 0 : byteLengthOf(format, groups));
        if (byteLengthOf(format, count) + parameters + DECODER_BYTES >= byteLengthOf("float32", count)) {
          ctx.skip(weight, `has ${count} elements in ${groups} blocks: codes and scales would not be smaller`);
          continue;
        }
        const operator = matrices.get(weight.name);
        const byInputs = operator && gptqRounding(operator, ctx.statistics, codeFormats[format]);
        if (rounding === "gptq" && !byInputs) {
          ctx.skip(weight, "its inputs were not measured; give samples and a runtime, or rounding nearest");
          continue;
        }
        const made = encoded(candidate.tensor, {
          name: weight.name,
          format,
          granularity,
          symmetric,
          leastError: scales === "least-error" || (scales === "auto" && bits === 4),
          rounding: byInputs ?? "nearest",
        });
        storeCodes(e, weight, made, granularity);
        ctx.done(weight, { bits, blocks: groups, rounding: byInputs ? "gptq" : "nearest" });
      }
    }),
});
