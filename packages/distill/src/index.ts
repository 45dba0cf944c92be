export { blockEnds, type TrainBlocksOptions, trainBlocks } from "./blocks.ts";
export type { Hint } from "./hints.ts";
export {
  attentionTransfer,
  type DistillationLossOptions,
  distillationLoss,
  type Pair,
  relativeError,
  teacherValue,
} from "./losses.ts";
export { distill, distillFrom } from "./pass.ts";
export { type SoftLabelOptions, softLabels } from "./soft-labels.ts";
export { type StudentOptions, student } from "./student/student.ts";
export type { AnswerFunction, Teacher, Teachers, WeightedTeacher } from "./teacher.ts";
export { type TrainStudentOptions, trainStudent } from "./train-student.ts";
