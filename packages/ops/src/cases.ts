import { attentionCases } from "./cases/attention.ts";
import { bitsCases } from "./cases/bits.ts";
import type { OperatorCase } from "./cases/case.ts";
import { elementwiseCases } from "./cases/elementwise.ts";
import { linearCases } from "./cases/linear.ts";
import { normalizeCases } from "./cases/normalize.ts";
import { poolCases } from "./cases/pool.ts";
import { quantizationCases } from "./cases/quantization.ts";
import { recurrentCases } from "./cases/recurrent.ts";
import { reduceCases } from "./cases/reduce.ts";
import { resizeCases } from "./cases/resize.ts";
import { scatterCases } from "./cases/scatter.ts";
import { selectCases } from "./cases/select.ts";
import { shapeCases } from "./cases/shape.ts";
import { signalCases } from "./cases/signal.ts";
import { windowCases } from "./cases/window.ts";

export { caseOf, type ModelCase, modelCaseOf, modelOfCase, type OperatorCase } from "./cases/case.ts";
export { type GradientCase, gradientCases } from "./cases/gradients.ts";
export { graphCases } from "./cases/graphs.ts";

/**
 * Operators on small inputs with what they give. The outputs come from the reference evaluator of onnx 1.22 or ONNX
 * Runtime, seven digits of each: relative errors up to 1e-5 are rounding.
 */
export const operatorCases: readonly OperatorCase[] = [
  ...elementwiseCases,
  ...bitsCases,
  ...reduceCases,
  ...shapeCases,
  ...scatterCases,
  ...linearCases,
  ...poolCases,
  ...normalizeCases,
  ...attentionCases,
  ...quantizationCases,
  ...signalCases,
  ...selectCases,
  ...windowCases,
  ...resizeCases,
  ...recurrentCases,
];
