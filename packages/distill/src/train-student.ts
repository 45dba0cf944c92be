import { failure, type Model, type Runtime, type Values } from "@pare/core";
import { type Dataset, type Loss, type Trained, type TrainOptions, weightedSum } from "@pare/train";
import { exposing, type Hint, withProjections } from "./hints.ts";
import { attentionTransfer, distillationLoss, teacherValue, teacherValuesOf } from "./losses.ts";
import { taughtBy } from "./soft-labels.ts";
import { openTeachers, type Panel, type Teachers } from "./teacher.ts";
import { trainAs } from "./train-as.ts";

export interface TrainStudentOptions extends Omit<TrainOptions, "loss"> {
  /** Who is asked for each batch. Not needed where batches hold all that is learned (see `softLabels`). */
  readonly teacher?: Teachers | undefined;
  /** Where a teacher that is a model runs. Default: where the student does. */
  readonly teacherRuntime?: Runtime | undefined;
  /**
   * A loss of outputs and inner values of the student, values of the teacher named by {@link teacherValue}, and targets of the samples.
   * Default: {@link distillationLoss} of the student's only output, or nothing where there are hints.
   */
  readonly loss?: Loss | undefined;
  /** Values of the student that are to become the teacher's, through projections that are learned and then left out. */
  readonly hints?: readonly Hint[] | undefined;
  /** Values whose attention maps are to become the teacher's, see {@link attentionTransfer}. */
  readonly attention?: readonly Hint[] | undefined;
}

/**
 * Trains a student to give what its teachers give. Teachers are asked for a batch while the engine works on the one before. As in
 * `train`, the same options give the same weights.
 * @throws PareError `distill/no-teacher`, `distill/hint`, `distill/options`, what teachers and `train` throw
 * @example
 * const { model } = await trainStudent(small, {
 *   teacher, loss: distillationLoss({ label: "label", alpha: 0.7, temperature: 4 }),
 *   data: batched({ image, label }, { size: 128 }), optimizer: adam(), rate: 1e-3, epochs: 10, runtime: ort(),
 * });
 */
export async function trainStudent(student: Model, options: TrainStudentOptions): Promise<Trained> {
  const { teacher, teacherRuntime, hints = [], attention = [], data, seed = 0, include, ...rest } = options;
  const pairs = [...hints, ...attention];
  const parts: (readonly [number, Loss])[] = attention.map((a) => [a.weight ?? 1, attentionTransfer(a)]);
  const loss = options.loss ?? (pairs.length === 0 ? distillationLoss({ output: onlyOutput(student) }) : undefined);
  if (loss) parts.unshift([1, loss]);
  const asked = new Set(parts.flatMap(([, l]) => teacherValuesOf(l)));
  for (const h of hints) asked.add(h.teacher ?? h.student);

  const { taught, close } = await withTeacher(data, [...asked], options);
  try {
    const batch = await first(taught, options.signal);
    const projected = withProjections(student, hints, batch, seed);
    const whole = weightedSum([...parts, ...projected.losses]);
    const opened = exposing(
      projected.model,
      whole.graph.inputs.map((v) => v.name),
    );
    return await trainAs(student, opened, {
      ...rest,
      seed,
      data: taught,
      loss: whole,
      include: include && [...include, ...projected.weights],
    });
  } finally {
    await close();
  }
}

/** A dataset that has all that is asked of the teacher, and what ends the teachers. */
export async function withTeacher(
  data: Dataset,
  asked: readonly string[],
  options: Pick<TrainStudentOptions, "teacher" | "teacherRuntime" | "runtime" | "threads" | "signal">,
): Promise<{ readonly taught: Dataset; close(): Promise<void> }> {
  const { teacher, runtime, teacherRuntime = runtime, threads, signal } = options;
  const batch = await first(data, signal);
  const values = asked.filter((v) => !batch[teacherValue(v)]);
  if (values.length === 0) return { taught: data, close: async () => {} };
  if (!teacher)
    throw failure("distill/no-teacher", `the batches lack what the teacher gives: ${values.join(", ")}`, {
      hint: "Give a teacher, or samples with softLabels().",
    });
  const panel: Panel = await openTeachers(teacher, { values, runtime: teacherRuntime, threads, signal });
  return { taught: taughtBy(data, panel), close: () => panel.close() };
}

export async function first(data: Dataset, signal: AbortSignal | undefined): Promise<Values> {
  for await (const batch of data.open(0, signal)) return batch;
  throw failure("train/data", "the dataset has no batch");
}

function onlyOutput({ graph: { outputs } }: Model): string {
  const [output, ...more] = outputs;
  if (output && more.length === 0) return output.name;
  throw failure("distill/options", `the student has ${outputs.length} outputs: say which is learned, by a loss`);
}
