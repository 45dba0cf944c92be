/** How gradients of operators are computed: in operators again, so that any engine runs them. */

import type { GradientRule } from "./gradient/builder.ts";
import { convolutions } from "./gradient/convolution.ts";
import { elementwise } from "./gradient/elementwise.ts";
import { gathers } from "./gradient/gather.ts";
import { linear } from "./gradient/linear.ts";
import { loops } from "./gradient/loop.ts";
import { lossForms } from "./gradient/loss.ts";
import { normalizations } from "./gradient/normalize.ts";
import { pools } from "./gradient/pool.ts";
import { quantization } from "./gradient/quantization.ts";
import { unrollings } from "./gradient/recurrent.ts";
import { reductionRules } from "./gradient/reduce.ts";
import { shapes } from "./gradient/shape.ts";
import type { Lower } from "./lower/builder.ts";

export { type GradientBuilder, type GradientRule, type GradientScope, gradientBuilder } from "./gradient/builder.ts";
export { type InputFormulation, inputFormulation } from "./gradient/convolution.ts";
export { batchNormalizationForward } from "./gradient/normalize.ts";
export { carriesCodes } from "./gradient/quantization.ts";
export {
  type WeightFormulation,
  type WeightShape,
  weightFormulation,
  weightFormulations,
} from "./gradient/weight-gradient.ts";

/** The gradient of each operator of the standard domain that has one, at the IR's opset. */
export const gradients: ReadonlyMap<string, GradientRule> = new Map(
  Object.entries({
    ...elementwise,
    ...linear,
    ...convolutions,
    ...pools,
    ...normalizations,
    ...reductionRules,
    ...shapes,
    ...gathers,
    ...quantization,
  }),
);

/** Operators whose gradient is that of what they are made of, beside those that `decompose` knows. */
export const unfoldings: ReadonlyMap<string, Lower> = new Map(
  Object.entries({ ...unrollings, ...loops, ...lossForms }),
);
