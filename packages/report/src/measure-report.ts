import type { CoverageEntry, Diagnostic, Report } from "@pare/core";

/** One line of a coverage with its numbers measured. */
export interface MeasuredEntry {
  readonly name: string;
  readonly ops: readonly string[];
  readonly reason?: string;
  readonly facts?: Readonly<Record<string, number | string>>;
}

/** A pass report as plain data. */
export interface MeasuredPass {
  readonly pass: string;
  readonly options: unknown;
  readonly milliseconds: number;
  readonly changed: boolean;
  readonly done: readonly MeasuredEntry[];
  readonly skipped: readonly MeasuredEntry[];
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * The report of `run` as plain data: facts that are functions (the sparsity of a tensor) are called, one after the
 * other, since each may read a weight.
 */
export async function measureReport(report: Report, signal?: AbortSignal): Promise<MeasuredPass[]> {
  const passes: MeasuredPass[] = [];
  for (const pass of report.passes)
    passes.push({ ...pass, done: await measured(pass.done, signal), skipped: await measured(pass.skipped, signal) });
  return passes;
}

async function measured(entries: readonly CoverageEntry[], signal?: AbortSignal): Promise<MeasuredEntry[]> {
  const list: MeasuredEntry[] = [];
  for (const { facts, ...entry } of entries) {
    if (!facts) {
      list.push(entry);
      continue;
    }
    const values: [string, number | string][] = [];
    for (const [key, fact] of Object.entries(facts)) {
      signal?.throwIfAborted();
      values.push([key, typeof fact === "function" ? await fact() : fact]);
    }
    list.push({ ...entry, facts: Object.fromEntries(values) });
  }
  return list;
}
