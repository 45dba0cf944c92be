import { failure, type Model, type Runtime, type Samples, type Session, type Values } from "@pare/core";

/** How long one run takes: median of all, in milliseconds. */
export interface Latency {
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly minMs: number;
  readonly runs: number;
}

/** Measured in rounds, in turns with others. */
export interface LatencyInTurns extends Latency {
  /** Median of each round. */
  readonly roundsMs: readonly number[];
}

/** What is measured: a file as it is, or a model. */
export interface Timed {
  readonly model: Model;
  readonly file?: string;
  /** Where it runs, if not where the others do. */
  readonly runtime?: Runtime;
}

export interface LatencyOptions {
  readonly threads?: number;
  /** Milliseconds that all of it may take, about. Default 2000 for each. */
  readonly budgetMs?: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (done: number, total: number) => void;
}

/** Rounds of turns, and of what runs less often than {@link FEW} times in the budget. */
const ROUNDS = 10;
const ROUNDS_OF_FEW = 3;
const FEW = 40;
/** Runs that are enough for a round, of models that need less than a round's milliseconds for them. */
const ENOUGH_RUNS = 20;
const ROUND_MS = 20;

/** Opens what is to be run: the very file where there is one. */
export const openTimed = (
  usual: Runtime,
  { model, file, runtime = usual }: Timed,
  options: LatencyOptions,
): Promise<Session> => {
  const prepare = {
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.signal ? { signal: options.signal } : {}),
  };
  return file !== undefined && runtime.prepareFile
    ? runtime.prepareFile(file, prepare)
    : runtime.prepare(model, prepare);
};

/** Latencies of several models on the same inputs, measured in turns, so that a busy moment of the machine hits all of them. */
export async function latencies(
  runtime: Runtime,
  subjects: readonly { readonly timed: Timed; readonly inputs: Values }[],
  options: LatencyOptions = {},
): Promise<LatencyInTurns[]> {
  const { budgetMs = 2000, signal, onRound } = options;
  const sessions: Session[] = [];
  try {
    const times: number[][] = subjects.map(() => []);
    const firstMs: number[] = [];
    for (const { timed, inputs } of subjects) {
      const session = await openTimed(runtime, timed, options);
      sessions.push(session);
      firstMs.push(Math.max(0.01, ...(await timesOf(session, inputs, 2, 1, signal))));
    }
    const rounds = budgetMs / Math.max(...firstMs) < FEW ? ROUNDS_OF_FEW : ROUNDS;
    const runsIn = (ms: number) => Math.min(Math.max(ENOUGH_RUNS, ROUND_MS / ms), budgetMs / rounds / ms);
    const roundsMs: number[][] = subjects.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, session] of sessions.entries()) {
        const runs = Math.max(2, Math.floor(runsIn(firstMs[i]!)));
        const found = await timesOf(session, subjects[i]!.inputs, runs, 1, signal);
        times[i]!.push(...found);
        roundsMs[i]!.push(summary(found).medianMs);
      }
      onRound?.(round + 1, rounds);
    }
    return times.map((t, i) => ({ ...summary(t), roundsMs: roundsMs[i]! }));
  } finally {
    await Promise.all(sessions.map((s) => s.close()));
  }
}

/** ONNX Runtime's sessions measure beside the engine; of others the calls are timed. */
interface Measuring extends Session {
  measure(
    inputs: Values,
    options: { runs: number; warmup: number; signal?: AbortSignal },
  ): Promise<{ timesMs: readonly number[] }>;
}
const measures = (s: Session): s is Measuring => "measure" in s && typeof s.measure === "function";

export async function timesOf(
  s: Session,
  inputs: Values,
  runs: number,
  warmup: number,
  signal?: AbortSignal,
): Promise<readonly number[]> {
  const more = signal ? { signal } : {};
  if (measures(s)) return (await s.measure(inputs, { runs, warmup, ...more })).timesMs;
  const times: number[] = [];
  for (let i = -warmup; i < runs; i++) {
    const started = performance.now();
    await s.run(inputs, more);
    if (i >= 0) times.push(performance.now() - started);
  }
  return times;
}

export function summary(times: readonly number[]): Latency {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { medianMs: at(0.5), p90Ms: at(0.9), minMs: sorted[0]!, runs: times.length };
}

/**
 * By a tenth, which is more than what two measurements of one fast model differ by on a machine that does other things too;
 * or by 2 % and in all rounds but a tenth of them.
 */
export function isSlower(before: LatencyInTurns, after: LatencyInTurns): boolean {
  const slower = after.roundsMs.filter((ms, i) => ms > before.roundsMs[i]!).length;
  const ratio = after.medianMs / before.medianMs;
  return ratio > 1.1 || (ratio > 1.02 && slower >= 0.9 * after.roundsMs.length);
}

/** @throws PareError `report/no-samples` */
export async function firstOf(samples: Samples, signal?: AbortSignal): Promise<Values> {
  for await (const sample of samples.open(signal)) return sample;
  throw failure("report/no-samples", "there is not one sample to run");
}
