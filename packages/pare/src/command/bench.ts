import { resolve } from "node:path";

import { formatUnit, table, textTable } from "@pare/report";
import { type Command, Option } from "commander";
import { benchmark } from "../bench.ts";
import { runtimeOf } from "../engines.ts";
import { openInput } from "../input.ts";
import type { Io } from "../io.ts";
import { firstOf } from "../latency.ts";
import { samplesFromFiles } from "../sample-files.ts";
import { syntheticSamples, withMadeUp } from "../synthetic.ts";
import {
  type CommonOptions,
  count,
  type EngineOptions,
  preprocessingOf,
  type SampleOptions,
  withCommon,
  withEngine,
  withSamples,
} from "./options.ts";
import { showProgress } from "./progress.ts";

interface Options extends CommonOptions, EngineOptions, Omit<SampleOptions, "threads"> {
  readonly threads: readonly number[];
  readonly seconds: number;
}

export function build(command: Command, io: Io): void {
  command.argument("<model>", "path of an ONNX or TFLite model");
  withCommon(withEngine(withSamples(command)));
  // Several numbers of threads are compared here.
  const threads = command.options.find((o) => o.long === "--threads")!;
  threads.description = "threads of the engine; several numbers are compared: 1,2,4";
  threads.argParser((text: string) => text.split(",").map(count));
  command.addOption(new Option("--seconds <n>", "how long to measure each").argParser(count).default(2));
  command.action((path: string, options: Options) => act(io, path, options));
}

async function act(io: Io, path: string, options: Options): Promise<void> {
  const view = await showProgress(io, options.quiet);
  const input = await openInput(resolve(io.cwd, path), io.signal);
  try {
    const samples =
      options.samples === undefined
        ? syntheticSamples(input.model, { count: 1, ...(options.shape ? { shapes: options.shape } : {}) })
        : await samplesFromFiles(resolve(io.cwd, options.samples), input.model, preprocessingOf(options));
    const inputs = await firstOf(samples, io.signal);
    const runtime = runtimeOf(input, options.engine ? { engine: options.engine } : {});
    const rows = [];
    for (const threads of options.threads ?? [undefined]) {
      view.onProgress({
        task: `bench ${input.name}`,
        done: rows.length,
        total: options.threads?.length ?? 1,
        unit: "steps",
      });
      const measure = () =>
        benchmark(runtime, { model: input.model, ...(input.file === undefined ? {} : { file: input.file }) }, inputs, {
          ...(threads === undefined ? {} : { threads }),
          budgetMs: options.seconds * 1000,
          signal: io.signal,
        });
      rows.push(await (options.samples === undefined ? withMadeUp(samples, measure) : measure()));
    }
    view.stop();
    const shapes = Object.fromEntries(
      Object.entries(inputs).map(([name, t]) => [name, { dtype: t.dtype, shape: t.shape }]),
    );
    const about = {
      model: input.name,
      engine: `${runtime.name} ${await runtime.version()}`,
      inputs: shapes,
      samples: options.samples === undefined ? "synthetic" : "given",
    };
    if (options.json) io.stdout.write(`${JSON.stringify({ ...about, runs: rows })}\n`);
    else {
      const columns = [
        { key: "threads", align: "right" as const },
        { key: "medianMs", title: "median", unit: "ms" as const },
        { key: "p90Ms", title: "90 %", unit: "ms" as const },
        { key: "minMs", title: "best", unit: "ms" as const },
        { key: "loadMs", title: "load", unit: "ms" as const },
        { key: "peakBytes", title: "engine's memory", unit: "bytes" as const },
        { key: "runs" },
      ];
      const inputsText = Object.entries(shapes).map(
        ([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join(", ")}]`,
      );
      io.stdout.write(
        `${about.model} in ${about.engine}; ${about.samples === "synthetic" ? "made-up " : ""}inputs ${inputsText.join("; ")}\n\n${textTable(
          table(
            columns,
            rows.map((r) => ({ ...r, threads: r.threads ?? "engine's choice" })),
          ),
        )}\n`,
      );
      const [first, ...others] = rows;
      for (const r of others)
        io.stdout.write(
          `${r.threads} threads: ${formatUnit(first!.medianMs / r.medianMs, "times")} as fast as ${first!.threads}\n`,
        );
    }
  } finally {
    view.stop();
    await input.close();
  }
}
