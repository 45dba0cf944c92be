export { type Augment, type BatchOptions, batched, type Dataset, type StreamOptions, streamed } from "./data.ts";
export { type Differentiated, type DifferentiateOptions, differentiate } from "./differentiate.ts";
export * from "./losses.ts";
export * from "./optimizers.ts";
export { type ParameterSelection, parametersOf } from "./parameters.ts";
export * from "./schedules.ts";
export { type ParameterGroup, type StepOptions, type TrainingStep, trainingStep } from "./step.ts";
export { type Diverged, isDiverged, type Trained, type TrainingProgress, type TrainOptions, train } from "./train.ts";
export type { Clip } from "./update.ts";
