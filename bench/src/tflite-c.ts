import { fileURLToPath } from "node:url";
import { failure, type ResidentTensor, tensor, type Values } from "@pare/core";
import { type EngineProcess, engineProcess } from "@pare/io/process";
import { turns } from "@pare/io/turns";
import { openTflite } from "@pare/tflite";
import type { CRequest, CTensor } from "./cases/tflite-c-child.ts";

interface Patience {
  readonly signal?: AbortSignal;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** A second opinion on TFLite files: TensorFlow Lite 2.9 in C, without XNNPACK, from `tfjs-tflite-node`. */
export interface TfliteC {
  version(): Promise<string>;
  /**
   * Runs a file once; inputs and outputs by the names of its signature, shapes as given.
   * @throws PareError `tflite-c/failed`, `tflite-c/crashed`, `tflite-c/timeout`
   */
  run(path: string, inputs: Values, patience?: Patience): Promise<Values>;
  close(): Promise<void>;
}

/**
 * It runs in a process of its own, of the script `tflite-c-child`, since it aborts where others give an error, and is started
 * anew after that.
 */
export function tfliteC(child: URL): TfliteC {
  let process: EngineProcess | undefined;
  const turn = turns("tflite-c/timeout");
  const end = async () => process?.kill();
  const ask = (request: CRequest | "version", parts: readonly Uint8Array[], patience: Patience) =>
    turn(
      async () => {
        if (!process?.alive()) process = start(child);
        return process.ask(request, parts);
      },
      { ...patience, end },
    );
  return {
    version: async () => (await ask("version", [], {})).ok as string,
    async run(path, values, patience = {}) {
      const { names, outputs } = await endsOf(path);
      const inputs = names.map((name) => {
        const t = Object.hasOwn(values, name) ? values[name] : undefined;
        if (!t) throw failure("tflite-c/failed", "the input is missing", { location: { value: name } });
        return t;
      });
      const request: CRequest = { path, inputs: inputs.map(({ dtype, shape }) => ({ dtype, shape })) };
      const { ok, parts } = await ask(
        request,
        inputs.map((t) => t.bytes),
        patience,
      );
      const results = (ok as CTensor[]).map(({ dtype, shape }, i) => tensor(dtype, shape, parts[i]!));
      return Object.fromEntries(outputs.map((name, i): [string, ResidentTensor] => [name, results[i]!]));
    },
    close: end,
  };
}

const start = (child: URL): EngineProcess =>
  engineProcess({ script: fileURLToPath(child), package: "pare-bench", engine: "TFLite", prefix: "tflite-c" });

/** Names of the main graph's inputs and outputs in the order of the graph. */
async function endsOf(
  path: string,
): Promise<{ readonly names: readonly string[]; readonly outputs: readonly string[] }> {
  const source = await openTflite(path);
  try {
    const { inputs, outputs } = source.model.graph;
    return { names: inputs.map((v) => v.name), outputs: outputs.map((v) => v.name) };
  } finally {
    await source.close();
  }
}
