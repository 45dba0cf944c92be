import {
  type Model,
  type Pass,
  type Report,
  type RunOptions,
  type Runtime,
  type Samples,
  type Store,
  type Target,
  takeSamples,
} from "@pare/core";
import { biasCorrection, type Diagnosis, diagnose, int8 } from "@pare/quantize";
import { run } from "./run.ts";
import type { WithinDrop } from "./within-drop.ts";

/** Samples that layers are measured on, at most. */
const SAMPLES = 16;

export interface PassesRun {
  readonly model: Model;
  readonly report: Report;
  /** The model before rounding, where passes quantize by samples. */
  readonly unrounded?: Model;
}

/** Runs passes and keeps what `int8` started from, before what only makes up for its rounding. */
export async function runKeeping(passes: readonly Pass[], model: Model, options: RunOptions): Promise<PassesRun> {
  const steps = passes.flatMap(function flat(p: Pass): readonly Pass[] {
    return p.steps ? p.steps.flatMap(flat) : [p];
  });
  let start = steps.findIndex((p) => p.name === int8.passName);
  if (start < 0) return run(passes, model, options);
  while (start > 0 && steps[start - 1]!.name === biasCorrection.passName) start--;
  const before = await run(steps.slice(0, start), model, options);
  const after = await run(steps.slice(start), before.model, options);
  const parts = [before.report, after.report];
  return {
    model: after.model,
    unrounded: before.model,
    report: {
      passes: parts.flatMap((r) => r.passes),
      toString: () =>
        parts
          .filter((r) => r.passes.length > 0)
          .map(String)
          .join("\n"),
    },
  };
}

export interface DiagnosisOptions {
  readonly runtime: Runtime;
  readonly samples?: Samples | undefined;
  readonly target?: Target | undefined;
  readonly distributions?: number | undefined;
  readonly store?: Store | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Diagnoses what passes, or after them a search, quantized; undefined where nothing was, or nothing is there to measure on. */
export async function diagnosisOf(
  { model, unrounded }: PassesRun,
  search: WithinDrop | undefined,
  { runtime, samples, target, distributions = 0, store, signal }: DiagnosisOptions,
): Promise<Diagnosis | undefined> {
  const reference = search?.base ?? unrounded;
  if (!reference || !samples || !target?.quantization) return undefined;
  return diagnose(reference, search?.model ?? model, {
    target,
    runtime,
    samples: takeSamples(samples, SAMPLES),
    distributions,
    ...(store ? { store } : {}),
    ...(signal ? { signal } : {}),
  });
}
