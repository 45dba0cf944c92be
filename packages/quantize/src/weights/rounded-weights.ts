import { byteLengthOf, elementCount, type Model, type PassContext, type Weight } from "@pare/core";
import { type Candidate, type Scope, weightCandidates } from "@pare/ops/weights";
import type { CodeLimits } from "./affine.ts";
import { type EncodedWeight, encoded } from "./codes.ts";
import { type Granularity, layoutOf } from "./layout.ts";
import { roundedByInputs, roundingBy, type WeightRounding } from "./rounding.ts";

/** How weights are rounded and what they then take. */
export interface RoundedFormat {
  readonly format: "int8" | "int16";
  readonly symmetric: boolean;
  /** The codes that are used of the format. */
  readonly limits: CodeLimits;
  readonly granularity: (candidate: Candidate) => Granularity;
  /** Bytes of codes and of all that decodes them. */
  readonly bytes: (elements: number, groups: number) => number;
}

export interface RoundedWeight {
  readonly weight: Weight;
  readonly granularity: Granularity;
  readonly made: EncodedWeight;
}

/** Balancing takes several times as long as rounding: of very large weights, which gain least by it, it is left out. */
const BALANCED_ELEMENTS = 4 << 20;

/** Rounds the weights of a scope, and leaves those alone, with the reason, that would not get smaller. */
export function* roundedWeights(
  model: Model,
  { rounding, ...scope }: Scope & { readonly rounding: WeightRounding },
  { format, symmetric, limits, granularity: granularityOf, bytes }: RoundedFormat,
  ctx: PassContext,
): Generator<RoundedWeight> {
  const byInputs = new Map(roundedByInputs(model, rounding, ctx).map((o) => [o.weight, o]));
  for (const candidate of weightCandidates(model, scope, ctx)) {
    const { weight, tensor: source } = candidate;
    const granularity = granularityOf(candidate);
    const { groups } = layoutOf(source.shape, granularity);
    const count = elementCount(source.shape);
    if (bytes(count, groups) >= byteLengthOf("float32", count)) {
      ctx.skip(weight, `has ${count} elements in ${groups} groups: codes and scales would not be smaller`);
      continue;
    }
    const operator = byInputs.get(weight.name);
    const unmeasured = count <= BALANCED_ELEMENTS ? "balanced" : "nearest";
    const how = rounding !== "auto" && rounding !== "gptq" ? rounding : operator ? "gptq" : unmeasured;
    const made = encoded(source, {
      name: weight.name,
      format,
      granularity,
      symmetric,
      limits,
      rounding: roundingBy(how, granularity, limits, operator, ctx.statistics),
    });
    yield { weight, granularity, made };
  }
}
