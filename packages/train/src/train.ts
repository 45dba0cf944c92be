import {
  failure,
  type Model,
  PareError,
  problem,
  type ResidentTensor,
  type Runtime,
  resident,
  type Session,
  type Store,
  tensor,
  type Values,
} from "@pare/core";
import { Fingerprint } from "@pare/ops/numeric";
import { type Checkpoint, getCheckpoint, putCheckpoint } from "./checkpoint.ts";
import type { Dataset } from "./data.ts";
import { constantRate, type Schedule } from "./schedules.ts";
import { type StepOptions, type TrainingStep, trainingStep } from "./step.ts";

export interface TrainingProgress {
  /** Steps made, and all steps where the number of batches is known. */
  readonly step: number;
  readonly steps: number | undefined;
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  /** Norm of all gradients. */
  readonly norm: number;
  readonly rate: number;
  /** Milliseconds that the rest takes at the speed so far. */
  readonly msLeft: number | undefined;
  /** What `evaluate` gave, after the last step of an epoch. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

export interface TrainOptions extends Omit<StepOptions, "batch"> {
  readonly runtime: Runtime;
  readonly data: Dataset;
  readonly epochs: number;
  /** Learning rate, or one for each step. */
  readonly rate: number | Schedule;
  /** Measures the model after each epoch. */
  readonly evaluate?: ((model: Model, epoch: number) => Promise<Readonly<Record<string, number>>>) | undefined;
  /** Where checkpoints are kept, and what they are called there. A run that finds one goes on from it. */
  readonly checkpoint?: { readonly store: Store; readonly key: string; readonly every?: number } | undefined;
  /** Threads of one operator; by default the engine's choice. Other numbers of threads sum in another order. */
  readonly threads?: number | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Trained {
  /** The model with its trained weights, or their moving averages. */
  readonly model: Model;
  readonly steps: number;
  /** Mean loss of each epoch of this run, with what was measured. */
  readonly history: readonly {
    readonly epoch: number;
    readonly loss: number;
    readonly metrics?: Readonly<Record<string, number>>;
  }[];
}

/** An error `train/diverged`, with the model as it was before the step that had no number for its loss. */
export type Diverged = PareError & { readonly trained: Trained };
export const isDiverged = (error: unknown): error is Diverged =>
  typeof error === "object" &&
  error !== null &&
  (error as { code?: string }).code === "train/diverged" &&
  "trained" in error;

/** Steps between checkpoints unless it is said. */
const EVERY = 100;

/**
 * Trains a model in any runtime. Weights and all else that moves stay with the engine; batches go there, and two numbers come
 * back. The same options give the same weights, bit for bit, on one machine and engine, also when a run was killed and goes
 * on from its checkpoint.
 * @throws PareError `train/diverged` (see {@link isDiverged}) when the loss or the gradients are no finite numbers: the state
 *   stays as it was before; `train/data` for a dataset that is empty or whose batches differ; `train/checkpoint`; what
 *   `trainingStep` and the runtime throw
 * @example
 * const { model } = await train(network, {
 *   loss: crossEntropy({ output: "logits", target: "label" }), optimizer: sgd({ momentum: 0.9 }), rate: 0.05,
 *   data: batched({ image, label }, { size: 256 }), epochs: 3, runtime: ort(),
 * });
 */
export async function train(model: Model, options: TrainOptions): Promise<Trained> {
  const { runtime, data, epochs, checkpoint, signal, threads } = options;
  if (!Number.isInteger(epochs) || epochs < 1) throw failure("train/options", `epochs are at least 1, not ${epochs}`);
  if (checkpoint?.every !== undefined && !(checkpoint.every >= 1))
    throw failure("train/options", `checkpoints come every step at most, not every ${checkpoint.every}`);
  const step = trainingStep(model, { ...options, batch: await firstBatch(data, signal) });
  const of = identity(step);
  const kept = checkpoint && (await getCheckpoint(checkpoint.store, checkpoint.key, of, signal));
  const start: Checkpoint = kept ?? { step: 0, epoch: 0, batch: 0, of, state: await firstState(step, signal) };
  const session = await runtime.prepare(step.model, {
    state: step.state,
    initialState: Object.fromEntries(start.state),
    ...(threads === undefined ? {} : { threads }),
    ...(signal ? { signal } : {}),
  });
  try {
    return await loop(session, step, start, options);
  } finally {
    await session.close();
  }
}

async function loop(session: Session, step: TrainingStep, start: Checkpoint, options: TrainOptions): Promise<Trained> {
  const { data, epochs, checkpoint, signal, onProgress, evaluate } = options;
  const schedule = typeof options.rate === "number" ? constantRate(options.rate) : options.rate;
  const steps = data.batches === undefined ? undefined : data.batches * epochs;
  const history: { epoch: number; loss: number; metrics?: Readonly<Record<string, number>> }[] = [];
  const began = performance.now();
  let made = start.step;
  let state = start.state;
  const stop = signal ? { signal } : {};
  const trained = (): Trained => ({ model: step.apply(state), steps: made, history });
  const keep = async (epoch: number, batch: number) => {
    if (checkpoint)
      await putCheckpoint(checkpoint.store, checkpoint.key, { step: made, epoch, batch, of: start.of, state }, signal);
  };
  /** Makes a step; where `whole`, the state comes back. */
  const run = async (batch: Values, whole: boolean) => {
    const rate = schedule(made);
    const inputs = {
      ...batch,
      [step.rate]: tensor("float32", [], [rate]),
      [step.step]: tensor("float32", [], [made + 1]),
    };
    const outputs = [step.loss, step.norm, ...(whole ? Object.keys(step.state) : [])];
    const results = await session.run(inputs, { outputs, ...stop });
    if (whole) state = stateOf(step, results);
    return { rate, loss: numberOf(results[step.loss]!), norm: numberOf(results[step.norm]!) };
  };

  for (let epoch = start.epoch; epoch < epochs; epoch++) {
    const skipped = epoch === start.epoch ? start.batch : 0;
    let [sum, count, batch] = [0, 0, 0];
    // The next batch is made while the engine works on this one.
    const source = iterate(data.open(epoch, signal));
    let next = await source.next();
    while (!next.done) {
      signal?.throwIfAborted();
      const current = next.value;
      const ahead = source.next();
      // Its failure is met where it is awaited.
      ahead.catch(() => {});
      if (batch++ < skipped) {
        next = await ahead;
        continue;
      }
      const due = checkpoint !== undefined && (made + 1) % (checkpoint.every ?? EVERY) === 0;
      const known = data.batches !== undefined;
      const last = known ? batch === data.batches : (await ahead).done === true;
      const whole = due || (last && (evaluate !== undefined || epoch === epochs - 1 || checkpoint !== undefined));
      const result = await run(current, whole);
      if (!Number.isFinite(result.loss) || !Number.isFinite(result.norm)) {
        // The step moved nothing; once more, to have the state.
        await run(current, true);
        await keep(epoch, batch - 1);
        throw diverged(result.loss, made, trained());
      }
      made++;
      sum += result.loss;
      count++;
      const rest = steps === undefined ? undefined : steps - made;
      const msLeft = rest === undefined ? undefined : (rest * (performance.now() - began)) / (made - start.step);
      const metrics = last && evaluate ? await evaluate(step.apply(state), epoch) : undefined;
      if (whole) await (last ? keep(epoch + 1, 0) : keep(epoch, batch));
      onProgress?.({ step: made, steps, epoch, epochs, ...result, msLeft, ...(metrics && { metrics }) });
      if (last) history.push({ epoch, loss: sum / count, ...(metrics && { metrics }) });
      next = await ahead;
    }
    if (batch === 0) throw failure("train/data", `epoch ${epoch} of the dataset has no batch`);
    if (data.batches !== undefined && batch !== data.batches)
      throw failure("train/data", `epoch ${epoch} has ${batch} batches where the dataset says ${data.batches}`);
  }
  return trained();
}

async function firstBatch(data: Dataset, signal: AbortSignal | undefined): Promise<Values> {
  for await (const batch of data.open(0, signal)) return batch;
  throw failure("train/data", "the dataset has no batch");
}

const iterate = (
  source: AsyncIterable<Values> | Iterable<Values>,
): AsyncIterator<Values> | { next(): Promise<IteratorResult<Values>> } => {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  const plain = source[Symbol.iterator]();
  return { next: async () => plain.next() };
};

async function firstState(step: TrainingStep, signal: AbortSignal | undefined): Promise<Map<string, ResidentTensor>> {
  const state = new Map<string, ResidentTensor>();
  for (const [name, t] of step.initial) state.set(name, await resident(t, signal));
  return state;
}

const stateOf = (step: TrainingStep, results: Values): Map<string, ResidentTensor> =>
  new Map(Object.entries(step.state).map(([output, input]) => [input, results[output]!]));

const numberOf = (t: ResidentTensor): number => new DataView(t.bytes.buffer, t.bytes.byteOffset).getFloat32(0, true);

/** A name of what a step computes: nodes, attributes, sizes. */
function identity({ model, state }: TrainingStep): string {
  const text = JSON.stringify([
    model.graph.inputs,
    Object.entries(state),
    model.graph.nodes.map((n) => [
      n.op,
      n.inputs,
      n.outputs,
      [...n.attributes].map(([k, a]) => [k, "value" in a ? String(a.value) : a.type]),
    ]),
  ]);
  return new Fingerprint().add(new TextEncoder().encode(text)).toString();
}

function diverged(loss: number, step: number, trained: Trained): Diverged {
  const error = new PareError([
    problem(
      "train/diverged",
      `step ${step + 1} has ${Number.isFinite(loss) ? "gradients" : "a loss"} that are no finite numbers`,
      {
        hint: "Lower the learning rate, warm it up, or clip gradients. The error holds the model as it was before, as does the checkpoint.",
      },
    ),
  ]);
  return Object.assign(error, { trained });
}
