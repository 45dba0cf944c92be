import { resolve } from "node:path";
import {
  type Comparison,
  compare,
  diffGraphs,
  formatDiff,
  formatUnit,
  type GraphDiff,
  table,
  textTable,
} from "@pare/report";
import { type Command, Option } from "commander";
import { runtimeOf } from "../engines.ts";
import { openInput } from "../input.ts";
import { exitCodes, type Io } from "../io.ts";
import { comparisonJson } from "../json.ts";
import { comparisonSections } from "../page.ts";
import { samplesFromFiles } from "../sample-files.ts";
import { syntheticSamples, withMadeUp } from "../synthetic.ts";
import { verdictOf } from "../verdict.ts";
import { writeDiagnostics } from "./errors.ts";
import {
  type CommonOptions,
  count,
  type EngineOptions,
  number,
  preprocessingOf,
  type SampleOptions,
  withCommon,
  withEngine,
  withSamples,
} from "./options.ts";
import { showProgress } from "./progress.ts";
import { writePage } from "./write-page.ts";

interface Options extends CommonOptions, EngineOptions, SampleOptions {
  readonly all?: boolean;
  readonly diff?: boolean;
  readonly limit: number;
  readonly minSqnr?: number;
  readonly memory?: number;
  readonly html?: string;
}

export function build(command: Command, io: Io, exit: (code: number) => void): void {
  command
    .argument("<reference>", "path of the model that is right")
    .argument("<other>", "path of the model that is measured against it")
    .option("--all", "compare inner values too, and find where the error arises")
    .option("--diff", "only show what changed in the graph; run nothing")
    .addOption(new Option("--limit <n>", "how many values and changes to list").argParser(count).default(20))
    .addOption(
      new Option("--min-sqnr <dB>", "end with exit code 4 when a float output is below (default 6)").argParser(number),
    )
    .addOption(new Option("--memory <MB>", "most memory that inner values may take (default 512)").argParser(count))
    .option("--html <path>", "write a page with the error of each layer");
  withCommon(withEngine(withSamples(command)));
  command.action((a: string, b: string, options: Options) => act(io, exit, a, b, options));
}

async function act(
  io: Io,
  exit: (code: number) => void,
  pathA: string,
  pathB: string,
  options: Options,
): Promise<void> {
  const { signal } = io;
  const view = await showProgress(io, options.quiet);
  const a = await openInput(resolve(io.cwd, pathA), signal);
  const b = await openInput(resolve(io.cwd, pathB), signal).catch(async (error) => {
    await a.close();
    throw error;
  });
  try {
    const diff = diffGraphs(a.model, b.model);
    if (options.diff) {
      io.stdout.write(
        options.json ? `${JSON.stringify({ diff })}\n` : `${formatDiff(diff, { limit: options.limit })}\n`,
      );
      return;
    }
    const samples =
      options.samples === undefined
        ? syntheticSamples(a.model, options.shape ? { shapes: options.shape } : {})
        : await samplesFromFiles(resolve(io.cwd, options.samples), a.model, preprocessingOf(options));
    const subject = (x: typeof a) => ({
      name: x.name,
      model: x.model,
      runtime: runtimeOf(x, options),
      ...(x.file === undefined ? {} : { file: x.file }),
    });
    const measure = () =>
      compare(subject(a), subject(b), {
        samples,
        values: options.all || options.html ? "all" : "outputs",
        signal,
        onProgress: view.onProgress,
        ...(options.memory === undefined ? {} : { memoryBudget: options.memory * 2 ** 20 }),
      });
    const comparison = await (options.samples === undefined ? withMadeUp(samples, measure) : measure());
    view.stop();
    const kind = options.samples === undefined ? "synthetic" : "given";
    const found = verdictOf(comparison, options.minSqnr);
    if (options.html !== undefined)
      await writePage(io, options.html, {
        title: `${b.name} against ${a.name}`,
        sections: comparisonSections(comparison, kind),
      });
    io.stdout.write(
      options.json
        ? `${JSON.stringify({ ...comparisonJson(comparison), samplesKind: kind, diff, diagnostics: found })}\n`
        : text(comparison, diff, kind, options),
    );
    if (!options.quiet) writeDiagnostics(found, io);
    if (found.some((d) => d.severity === "error")) exit(exitCodes.verification);
  } finally {
    view.stop();
    await Promise.all([a.close(), b.close()]);
  }
}

function text(c: Comparison, diff: GraphDiff, samples: string, { limit, all }: Options): string {
  const columns = [
    { key: "name", title: "value", width: 44 },
    { key: "op", title: "operator" },
    { key: "sqnrDb", title: "SQNR", unit: "dB" as const },
    { key: "maxAbsError", title: "worst error" },
    { key: "maxRelativeError", title: "of range", unit: "share" as const },
    { key: "cosine", align: "right" as const },
    { key: "note", title: "" },
  ];
  const rows = (list: Comparison["values"]) =>
    list.map((v) => ({
      ...v,
      cosine: v.cosine.toFixed(6),
      note:
        v.mismatch ??
        (v.broken > 0 ? `${v.broken} not finite` : v.otherName === undefined ? "" : `there ${v.otherName}`),
    }));
  const inner = all ? c.values.filter((v) => v.kind === "inner") : [];
  return `${[
    formatDiff(diff, { limit: Math.min(limit, 8) }),
    `Outputs, ${c.samples} ${samples === "synthetic" ? "made-up samples" : "samples"}\n${textTable(table(columns, rows(c.outputs)))}`,
    ...(inner.length > 0
      ? [
          `Inner values, worst first${inner.length > limit ? ` (${limit} of ${inner.length})` : ""}\n${textTable(table(columns, rows(inner.slice(0, limit))))}`,
        ]
      : []),
    ...(c.jump
      ? [
          `The error first jumps at ${c.jump.op} ${c.jump.name}: ${formatUnit(c.jump.sqnrDb, "dB")}, computed from ${c.jump.before === Number.POSITIVE_INFINITY ? "identical values" : `values of ${formatUnit(c.jump.before, "dB")}`}.`,
        ]
      : []),
    ...c.notes,
  ].join("\n\n")}\n`;
}
