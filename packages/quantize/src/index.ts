export {
  type AutoFixOptions,
  type AutoFixResult,
  autoFix,
  measureDrop,
  type Trial,
} from "./auto-fix.ts";
export { biasCorrection } from "./bias-correction.ts";
export { equalize } from "./equalize.ts";
export { fixedPoint } from "./fixed-point.ts";
export { float16 } from "./float16.ts";
export { int8 } from "./int8.ts";
export { int8Weights } from "./int8-weights.ts";
export type { LayerFormat, Sensitivity } from "./layer-formats.ts";
export { characters, cosine, iou, type Metric, top1 } from "./metric.ts";
