import { readFile } from "node:fs/promises";
import type { Runtime, Session, Values } from "@pare/core";
import { type Latency, type LatencyOptions, openTimed, summary, type Timed, timesOf } from "./latency.ts";

/** What a model takes to load and run. */
export interface Benchmark extends Latency {
  readonly threads?: number;
  /** Until the session can run. */
  readonly loadMs: number;
  /** Peak memory of the engine's process, where the system tells (Linux). */
  readonly peakBytes?: number;
}

/** Loads a model and runs it for about `budgetMs` (default 2000), in a process of its own where the runtime has one. */
export async function benchmark(
  runtime: Runtime,
  timed: Timed,
  inputs: Values,
  options: LatencyOptions = {},
): Promise<Benchmark> {
  const { budgetMs = 2000, signal, threads } = options;
  const started = performance.now();
  const session = await openTimed(runtime, timed, options);
  const loadMs = performance.now() - started;
  try {
    const first = await timesOf(session, inputs, 2, 1, signal);
    const runs = Math.max(3, Math.min(1000, Math.floor(budgetMs / Math.max(0.01, ...first))));
    const times = await timesOf(session, inputs, runs, 1, signal);
    const peakBytes = await peakOf(session);
    return {
      ...(threads === undefined ? {} : { threads }),
      ...summary(times),
      loadMs,
      ...(peakBytes === undefined ? {} : { peakBytes }),
    };
  } finally {
    await session.close();
  }
}

async function peakOf(session: Session): Promise<number | undefined> {
  const pid = "pid" in session && typeof session.pid === "number" ? session.pid : undefined;
  if (pid === undefined) return undefined;
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
