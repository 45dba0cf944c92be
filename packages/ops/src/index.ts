/** What is known of operators. Each part is also an entry of its own: `@pare/ops/infer`, `@pare/ops/schema`, … */
export { type Cost, type CostOptions, costOf, type NodeCost } from "./cost.ts";
export {
  type AnyValue,
  type EvaluateLimits,
  type EvaluateOptions,
  evaluate,
  evaluateNode,
  evaluateValues,
} from "./evaluate.ts";
export { type InferOptions, inferTypes, type Types } from "./infer.ts";
export * from "./numeric.ts";
export * from "./schema.ts";
export * from "./weights.ts";
