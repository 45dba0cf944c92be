export { fixedPoint } from "./fixed-point.ts";
export { int8Weights } from "./int8-weights.ts";
