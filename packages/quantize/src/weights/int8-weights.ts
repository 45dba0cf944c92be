import {
  byteLengthOf,
  definePass,
  edit,
  elementCount,
  type Host,
  type Model,
  PASS_API_VERSION,
  type Statistics,
} from "@pare/core";
import { type Candidate, channelAxis, reductionAxis, weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { gptqRounding, gramOf, matrixOperators } from "../static/gptq-layers.ts";
import { codeLimits } from "./affine.ts";
import type { ChannelOperator } from "./channels.ts";
import { encoded } from "./codes.ts";
import { DECODER_BYTES, storeCodes } from "./encode.ts";
import { type Granularity, layoutOf } from "./layout.ts";

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
    rounding: z
      .enum(["auto", "balanced", "nearest", "gptq"])
      .default("auto")
      .describe(
        "balanced moves a few codes by one, so that a channel's rounding errors cancel; gptq rounds 1x1 convolutions and matrix products by their inputs on the samples, others balanced; auto is gptq up to 1,024 inputs where there are samples, and balanced up to 4 million elements",
      ),
    symmetric: z.boolean().default(true).describe("zero point 0; otherwise the whole range of each group is used"),
    ...scopeOptions,
  }),
  observe: (model, { rounding }, host) => measurable(model, rounding, host).map(gramOf),
  run: (model, options, ctx) =>
    edit(model, (e) => {
      const matrices = new Map(measurable(model, options.rounding, ctx).map((o) => [o.weight, o]));
      for (const candidate of weightCandidates(model, options, ctx)) {
        const { weight } = candidate;
        const made = encode(candidate, options, matrices.get(weight.name), ctx.statistics);
        if (typeof made === "string") ctx.skip(weight, made);
        else {
          storeCodes(e, weight, made.encoded, made.granularity);
          ctx.done(weight, { granularity: made.granularity.kind });
        }
      }
    }),
});

/** Operators whose weights are rounded by their inputs, if those can be measured. */
function measurable(model: Model, rounding: string, { runtime, samples }: Host): ChannelOperator[] {
  if (!runtime || !samples || (rounding !== "gptq" && rounding !== "auto")) return [];
  const all = matrixOperators(model);
  return rounding === "gptq" ? all : all.filter((o) => o.layout.inputs <= AUTO_INPUTS);
}

function encode(
  { tensor: source, role, weight }: Candidate,
  options: {
    granularity: Granularity["kind"];
    blockSize: number;
    symmetric: boolean;
    rounding: "auto" | "balanced" | "nearest" | "gptq";
  },
  operator: ChannelOperator | undefined,
  statistics: Statistics,
) {
  const { shape } = source;
  const operandAxis = (options.granularity === "block" ? reductionAxis : channelAxis)(
    role.op,
    role.input,
    shape.length,
  );
  const axis = operandAxis === undefined ? undefined : role.storedAxis(operandAxis);
  const granularity: Granularity =
    options.granularity === "tensor" || axis === undefined || shape.length < 2
      ? { kind: "tensor" }
      : options.granularity === "channel"
        ? { kind: "channel", axis }
        : { kind: "block", axis, size: options.blockSize };
  const layout = layoutOf(shape, granularity);
  const count = elementCount(shape);
  const groupBytes = 4 + (options.symmetric ? 0 : 1);
  if (count + layout.groups * groupBytes + DECODER_BYTES >= byteLengthOf("float32", count))
    return `has ${count} elements in ${layout.groups} groups: codes and scales would not be smaller`;

  // In a whole tensor or a short block errors cancel by themselves, or there is nothing to choose from.
  const sum = options.rounding === "balanced" || (options.rounding !== "nearest" && count <= BALANCED_ELEMENTS);
  const byInputs = operator && gptqRounding(operator, statistics, codeLimits(8, options.symmetric));
  const made = encoded(source, {
    name: weight.name,
    format: "int8",
    granularity,
    symmetric: options.symmetric,
    rounding: byInputs ?? (sum && granularity.kind === "channel" ? "balanced" : "nearest"),
  });
  return { granularity, encoded: made };
}

/** Inputs of a layer up to which they are measured without being asked: 4 MB for each layer. */
const AUTO_INPUTS = 1024;

/** Balancing takes several times as long as rounding: of very large weights, which gain least by it, it is left out. */
const BALANCED_ELEMENTS = 4 << 20;
