import {
  dataOf,
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
import { type Unrolled, unrolled } from "./unroll.ts";

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
  /**
   * Steps of one run of the engine: the results are the same to the bit, small networks take less time for each. Checkpoints and
   * ends of epochs cut it short. Default 1.
   */
  readonly unroll?: number | undefined;
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
  const { runtime, data, epochs, checkpoint, signal, threads, unroll = 1 } = options;
  if (!Number.isInteger(epochs) || epochs < 1) throw failure("train/options", `epochs are at least 1, not ${epochs}`);
  if (checkpoint?.every !== undefined && !(checkpoint.every >= 1))
    throw failure("train/options", `checkpoints come every step at most, not every ${checkpoint.every}`);
  if (!Number.isInteger(unroll) || unroll < 1)
    throw failure("train/options", `a run makes at least one step, not ${unroll}`);
  const step = trainingStep(model, { ...options, batch: await firstBatch(data, signal) });
  const of = identity(step);
  const kept = checkpoint && (await getCheckpoint(checkpoint.store, checkpoint.key, of, signal));
  const start: Checkpoint = kept ?? { step: 0, epoch: 0, batch: 0, of, state: await firstState(step, signal) };
  const steps = unroll > 1 ? unrolled(step, unroll) : one(step);
  const session = await runtime.prepare(steps.model, {
    state: steps.state,
    initialState: Object.fromEntries(start.state),
    ...(threads === undefined ? {} : { threads }),
    ...(signal ? { signal } : {}),
  });
  try {
    return await loop(session, step, steps, start, options);
  } finally {
    await session.close();
  }
}

/** A step as it is, in the words of several: where its loss or gradients are not finite it moves nothing by itself. */
const one = (step: TrainingStep): Unrolled => ({
  model: step.model,
  batches: [new Map()],
  rates: step.rate,
  first: step.step,
  active: "",
  losses: step.loss,
  norms: step.norm,
  state: step.state,
});

async function loop(
  session: Session,
  step: TrainingStep,
  unrolled: Unrolled,
  start: Checkpoint,
  options: TrainOptions,
): Promise<Trained> {
  const { data, epochs, checkpoint, signal, onProgress, evaluate } = options;
  const schedule = typeof options.rate === "number" ? constantRate(options.rate) : options.rate;
  const steps = data.batches === undefined ? undefined : data.batches * epochs;
  const history: { epoch: number; loss: number; metrics?: Readonly<Record<string, number>> }[] = [];
  const began = performance.now();
  let made = start.step;
  let state = start.state;
  const trained = (): Trained => ({ model: step.apply(state), steps: made, history });
  const keep = async (epoch: number, batch: number) => {
    if (checkpoint)
      await putCheckpoint(checkpoint.store, checkpoint.key, { step: made, epoch, batch, of: start.of, state }, signal);
  };
  /** Makes a step with each batch; where `whole`, the state comes back. */
  const run = async (batches: readonly Values[], active: number, whole: boolean) => {
    const count = unrolled.batches.length;
    const rates = Array.from({ length: count }, (_, i) => schedule(made + i));
    const inputs: Record<string, ResidentTensor> = {
      [unrolled.rates]: tensor("float32", count > 1 ? [count] : [], rates),
      [unrolled.first]: tensor("float32", [], [made + 1]),
    };
    if (unrolled.active) inputs[unrolled.active] = tensor("int64", [], [active]);
    for (const [i, names] of unrolled.batches.entries())
      for (const [name, t] of Object.entries(batches[Math.min(i, batches.length - 1)]!))
        inputs[names.get(name) ?? name] = t;
    const outputs = [unrolled.losses, unrolled.norms, ...(whole ? Object.keys(unrolled.state) : [])];
    const results = await session.run(inputs, { outputs, ...(signal ? { signal } : {}) });
    if (whole) state = stateOf(unrolled, results);
    const [losses, norms] = [numbersOf(results[unrolled.losses]!), numbersOf(results[unrolled.norms]!)];
    return batches.map((_, i) => ({ rate: rates[i]!, loss: losses[i]!, norm: norms[i]! }));
  };

  for (let epoch = start.epoch; epoch < epochs; epoch++) {
    const skipped = epoch === start.epoch ? start.batch : 0;
    let [sum, count, batch] = [0, 0, 0];
    let waiting: Values[] = [];
    // The next batch is made while the engine works on those before.
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
      waiting.push(current);
      const due = checkpoint !== undefined && (made + waiting.length) % (checkpoint.every ?? EVERY) === 0;
      const known = data.batches !== undefined;
      const last = known ? batch === data.batches : (await ahead).done === true;
      if (waiting.length < unrolled.batches.length && !due && !last) {
        next = await ahead;
        continue;
      }
      const whole = due || (last && (evaluate !== undefined || epoch === epochs - 1 || checkpoint !== undefined));
      const results = await run(waiting, waiting.length, whole);
      const bad = results.findIndex((r) => !Number.isFinite(r.loss) || !Number.isFinite(r.norm));
      for (const [i, result] of (bad < 0 ? results : results.slice(0, bad)).entries()) {
        made++;
        sum += result.loss;
        count++;
        const rest = steps === undefined ? undefined : steps - made;
        const msLeft = rest === undefined ? undefined : (rest * (performance.now() - began)) / (made - start.step);
        const end = last && i === results.length - 1;
        const metrics = end && evaluate ? await evaluate(step.apply(state), epoch) : undefined;
        if (end) history.push({ epoch, loss: sum / count, ...(metrics && { metrics }) });
        onProgress?.({ step: made, steps, epoch, epochs, ...result, msLeft, ...(metrics && { metrics }) });
      }
      if (bad >= 0) {
        // The step moved nothing; once more, to have the state.
        await run(waiting.slice(bad), 0, true);
        await keep(epoch, batch - (waiting.length - bad));
        throw diverged(results[bad]!.loss, made, trained());
      }
      if (whole) await (last ? keep(epoch + 1, 0) : keep(epoch, batch));
      waiting = [];
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

const stateOf = ({ state }: Unrolled, results: Values): Map<string, ResidentTensor> =>
  new Map(Object.entries(state).map(([output, input]) => [input, results[output]!]));

const numbersOf = (t: ResidentTensor): Float32Array => dataOf(t) as Float32Array;

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
