import type { Diagnostic, Report } from "@pare/core";
import { diffGraphs, formatDiff, formatUnit, type GraphDiff } from "@pare/report";
import { type CompressOptions, writeOptions } from "../compress.ts";
import { type Coverage, coverageOf, coverageProblems } from "../coverage.ts";
import { type Input, totalBytes } from "../input.ts";
import { predictBytes } from "../predict.ts";
import { run } from "../run.ts";
import { fixedShapes, writerOf } from "../write.ts";

/** What a compression would do. */
export interface DryRun {
  readonly output?: string;
  readonly bytes: { readonly before: number; readonly after: number };
  readonly report: Report;
  readonly coverage: readonly Coverage[];
  readonly diff: GraphDiff;
  readonly diagnostics: readonly Diagnostic[];
}

/** Runs the passes, which read weights only where they must, and lays the result out without writing it. */
export async function dryRun(input: Input, options: CompressOptions): Promise<DryRun> {
  const { passes, onnx: _, tflite: __, minCoverage, ...host } = options;
  const { model, report } = await run(passes, input.model, host);
  const shaped = options.tflite && (await fixedShapes(model, options));
  const write = writerOf(shaped ? { tflite: shaped.tflite } : { onnx: writeOptions(options) });
  return {
    ...(options.output === undefined ? {} : { output: options.output }),
    bytes: { before: totalBytes(input.sources), after: await predictBytes(model, write) },
    report,
    coverage: coverageOf(report, minCoverage),
    diff: diffGraphs(input.model, model),
    diagnostics: [
      ...report.passes.flatMap((p) => p.diagnostics),
      ...(shaped?.diagnostics ?? []),
      ...coverageProblems(report, input.model, minCoverage, options.tflite !== undefined),
    ],
  };
}

export const dryRunJson = ({ bytes, ...plan }: DryRun) => ({
  dryRun: true,
  ...plan,
  bytes: { ...bytes, ratio: bytes.before / bytes.after },
  report: plan.report.passes.map((p) => ({
    pass: p.pass,
    options: p.options,
    done: p.done.map((d) => d.name),
    skipped: p.skipped.map(({ name, reason }) => ({ name, reason })),
  })),
});

export const dryRunText = ({ bytes, report, diff, output }: DryRun): string =>
  `${[
    `${report}`,
    formatDiff(diff, { limit: 12 }),
    `${formatUnit(bytes.before, "bytes")} -> ${formatUnit(bytes.after, "bytes")} (${formatUnit(bytes.before / bytes.after, "times")} smaller). Nothing was written${output === undefined ? "" : `; it would be ${output}`}.`,
  ].join("\n\n")}\n`;
