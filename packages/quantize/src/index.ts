export {
  type DiagnoseOptions,
  type Diagnosis,
  type Distribution,
  diagnose,
  type LayerDiagnosis,
} from "./diagnose/diagnose.ts";
export type { Remedy } from "./diagnose/remedy.ts";
export { dynamicInt8 } from "./dynamic/dynamic-int8.ts";
export { float16 } from "./float16/float16.ts";
export { type AutoFixOptions, type AutoFixResult, autoFix, type Trial } from "./search/auto-fix.ts";
export { measureDrop, type Verdict } from "./search/judge.ts";
export { characters, cosine, iou, type Metric, top1 } from "./search/metric.ts";
export { biasCorrection } from "./static/bias-correction.ts";
export { equalize } from "./static/equalize.ts";
export { int8 } from "./static/int8.ts";
export type { LayerFormat, Sensitivity } from "./static/layer-formats.ts";
export { emulateSaturation, type Saturation, type SaturationOptions } from "./static/saturation.ts";
export { smoothQuant } from "./static/smooth-quant.ts";
export { blockWeights } from "./weights/block-weights.ts";
export { fixedPoint } from "./weights/fixed-point.ts";
export { int8Weights } from "./weights/int8-weights.ts";
export { int12Weights } from "./weights/int12-weights.ts";
