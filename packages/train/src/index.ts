export { type Differentiated, type DifferentiateOptions, differentiate } from "./differentiate.ts";
export * from "./losses.ts";
export * from "./optimizers.ts";
export { type ParameterSelection, parametersOf } from "./parameters.ts";
export * from "./schedules.ts";
export { type ParameterGroup, type StepOptions, type TrainingStep, trainingStep } from "./step.ts";
export type { Clip } from "./update.ts";
