import type { Pass, PassFactory, StandardSchemaV1 } from "@pare/core";
import { fixShapes, optimize } from "@pare/optimize";
import { threshold } from "@pare/prune";
import {
  biasCorrection,
  blockWeights,
  dynamicInt8,
  equalize,
  fixedPoint,
  float16,
  int8,
  int8Weights,
  int12Weights,
  smoothQuant,
} from "@pare/quantize";

/** A pass that can be asked for by flags. */
export interface FlaggedPass {
  readonly name: string;
  /** What it does, for help. */
  readonly summary: string;
  /** Describes its options; from it come flags and help. */
  readonly schema?: StandardSchemaV1 | undefined;
  make(options: Readonly<Record<string, unknown>>): Pass;
}

const flagged = <S extends StandardSchemaV1>(summary: string, factory: PassFactory<S>): FlaggedPass => ({
  name: factory.passName,
  summary,
  schema: factory.schema,
  // The factory checks them.
  make: (options) => factory(options as StandardSchemaV1.InferInput<S>),
});

/** The passes that have flags, in the order in which help lists them. */
export const flaggedPasses: readonly FlaggedPass[] = [
  {
    name: "optimize",
    summary: "simplify the graph: fold what is constant, fuse, cancel, remove what does nothing",
    make: () => optimize(),
  },
  flagged(
    "give dimensions a fixed size: a symbol of the inputs (N=1), or all of an input (image=1,3,224,224)",
    fixShapes,
  ),
  flagged("weights and arithmetic in half precision, but for what would overflow or vanish", float16),
  flagged("weights as 8-bit codes with scales", int8Weights),
  flagged("weights as 12-bit codes with scales: closer than float16 with --samples, and smaller", int12Weights),
  flagged("weights of matrix products in blocks of 4 or 8 bits; finer with --samples", blockWeights),
  flagged("weights as integers times 2^-bits", fixedPoint),
  flagged("scale channels between layers so that integers fit them; changes no result", equalize),
  flagged(
    "move outliers of what matrix products and convolutions read into their weights; changes no result, needs --samples",
    smoothQuant,
  ),
  flagged("move into biases what rounding weights will shift; goes before int8", biasCorrection),
  flagged("compute in 8-bit integers what the target can; needs --samples", int8),
  flagged("compute matrix products in 8-bit integers, with ranges found at run time", dynamicInt8),
  flagged("set small weights to zero", threshold),
];
