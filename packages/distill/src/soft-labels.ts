/** The teacher's answers as targets: batch by batch while training, or once for all samples. */
import { type ResidentTensor, type Store, samplesFrom, type Values } from "@pare/core";
import { samplesDigest } from "@pare/ops/observe";
import { type Dataset, getTensors, joinRows, putTensors } from "@pare/train";
import { teacherValue } from "./losses.ts";
import {
  openTeachers,
  type Panel,
  type PanelOptions,
  rowsOf,
  sliceRows,
  type Teachers,
  teachersDigest,
} from "./teacher.ts";

/**
 * A dataset whose batches come with the teacher's answers, under {@link teacherValue}. `train` makes each batch while the engine
 * works on the one before, so the teacher is one batch ahead.
 */
export const taughtBy = (data: Dataset, panel: Panel): Dataset => ({
  batches: data.batches,
  async *open(epoch, signal) {
    for await (const batch of data.open(epoch, signal)) yield { ...batch, ...named(await panel.ask(batch)) };
  },
});

const named = (answers: Values): Values =>
  Object.fromEntries(Object.entries(answers).map(([name, t]) => [teacherValue(name), t]));

export interface SoftLabelOptions extends PanelOptions {
  readonly teacher: Teachers;
  /** Samples that the teacher is asked about at once. Default 128. */
  readonly size?: number;
  /** Where answers are kept, by the content of teachers and samples: they are asked for once, and a run that was killed goes on. */
  readonly store?: Store | undefined;
  readonly onProgress?: (samples: number, of: number) => void;
}

/**
 * Samples in memory, each tensor [samples, …], with the teacher's answers to them under {@link teacherValue}: what `batched` takes.
 * For samples that change from epoch to epoch the teacher has to be asked each time: leave that to `trainStudent`.
 * @throws PareError `distill/teacher-key` and what {@link openTeachers} throws
 * @example batched(await softLabels({ image, label }, { teacher, values: ["logits"], runtime: ort(), store }), { size: 128 })
 */
export async function softLabels(samples: Values, options: SoftLabelOptions): Promise<Values> {
  const { teacher, values, size = 128, store, signal, onProgress } = options;
  const count = rowsOf(samples);
  const of = store && `${await teachersDigest(teacher, signal)} ${JSON.stringify(values)}`;
  let panel: Panel | undefined;
  const answers: Values[] = [];
  try {
    for (let from = 0; from < count; from += size) {
      signal?.throwIfAborted();
      const part = sliceRows(samples, from, Math.min(size, count - from));
      const ask = async () => (panel ??= await openTeachers(teacher, options)).ask(part);
      answers.push(store ? await kept(store, `distill/answers@1 ${of}`, part, ask, signal) : await ask());
      onProgress?.(Math.min(count, from + size), count);
    }
  } finally {
    await panel?.close();
  }
  return { ...samples, ...named(joinRows(answers)) };
}

/** Answers from the store, or asked for and kept there. */
async function kept(
  store: Store,
  of: string,
  part: Values,
  ask: () => Promise<Values>,
  signal: AbortSignal | undefined,
): Promise<Values> {
  const key = `${of} ${(await samplesDigest(samplesFrom([part]), signal)).digest}`;
  const found = await getTensors(store, key, () => true, signal);
  if (found) return Object.fromEntries(found.tensors);
  const answers = await ask();
  await putTensors(
    store,
    key,
    { facts: {}, tensors: new Map<string, ResidentTensor>(Object.entries(answers)) },
    signal,
  );
  return answers;
}
