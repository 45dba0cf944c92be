import { failure, type Model, type Runtime, type Samples, type Session, type Values } from "@pare/core";

/** How long one run takes: median of all, in milliseconds. */
export interface Latency {
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly minMs: number;
  readonly runs: number;
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

const ROUNDS = 3;

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
): Promise<Latency[]> {
  const { budgetMs = 2000, signal, onRound } = options;
  const sessions: Session[] = [];
  try {
    const times: number[][] = [];
    const counts: number[] = [];
    for (const { timed, inputs } of subjects) {
      const session = await openTimed(runtime, timed, options);
      sessions.push(session);
      const first = await timesOf(session, inputs, 2, 1, signal);
      counts.push(Math.max(2, Math.min(50, Math.floor(budgetMs / ROUNDS / Math.max(0.01, ...first)))));
      times.push([]);
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, session] of sessions.entries())
        times[i]!.push(...(await timesOf(session, subjects[i]!.inputs, counts[i]!, 1, signal)));
      onRound?.(round + 1, ROUNDS);
    }
    return times.map(summary);
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

/** @throws PareError `report/no-samples` */
export async function firstOf(samples: Samples, signal?: AbortSignal): Promise<Values> {
  for await (const sample of samples.open(signal)) return sample;
  throw failure("report/no-samples", "there is not one sample to run");
}
