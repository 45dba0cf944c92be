/** The build for browsers: LiteRT in this thread. */
import type { PrepareOptions } from "@pare/core";
import { openSource } from "@pare/io";
import { modelBytes, readModel } from "@pare/tflite";
import { fail } from "./codes.ts";
import { tapsOf } from "./entry.ts";
import { loadLiteRt } from "./load.ts";
import { localEngine } from "./local.ts";
import type { LitertOptions, LitertRuntime, LitertSession } from "./options.ts";
import { modelProgram, type Program, tfliteProgram } from "./program.ts";
import { openSession } from "./session.ts";
import type { LiteRt, LiteRtModule } from "./wasm.ts";

export type { Latency, LitertOptions, LitertRuntime, LitertSession, Lower, MeasureOptions } from "./options.ts";

let loaded: Promise<LiteRt> | undefined;

/**
 * LiteRT (`@litertjs/core`) as a runtime, in this thread. What LiteRT only logs is an error here.
 * @throws PareError `litert/options`; later `litert/no-engine`, `litert/refused`, `litert/failed`, …
 */
export function litert(options: LitertOptions = {}): LitertRuntime {
  const { accelerator = "wasm", threads = 1, signature, lower, wasm, module } = options;
  if (options.isolate || typeof module === "string" || !wasm)
    throw fail("litert/options", "in a browser LiteRT runs in this thread, from a folder that the page can load", {
      hint: 'Serve node_modules/@litertjs/core/wasm, and say where: litert({ wasm: "/wasm/" }).',
    });
  const load = () => (loaded ??= importLiteRt(module).then((m) => loadLiteRt(m, wasm, threads > 1)));
  const prepare = async (program: Program, prepareOptions: PrepareOptions): Promise<LitertSession> => {
    const litert = await load();
    const noFiles = async () => {
      throw fail("litert/failed", "there are no files here");
    };
    return openSession({
      start: () => localEngine(litert, noFiles),
      program,
      store: { put: async (model, signal) => ({ bytes: await modelBytes(model, signal) }), remove: async () => {} },
      engineOptions: { accelerator, threads: prepareOptions.threads ?? threads },
      options: prepareOptions,
      dispose: async () => {},
    });
  };
  return {
    name: "@litertjs/core",
    version: async () => "unknown",
    async prepareFile(url, prepareOptions = {}) {
      const { signal, taps = [] } = prepareOptions;
      const source = await openSource(url, signal ? { signal } : {});
      const model = await readModel(source, signal ? { signal } : {});
      return prepare(tfliteProgram(model, { signature, taps: (graph) => tapsOf(graph, taps) }), prepareOptions);
    },
    prepare: async (model, prepareOptions = {}) =>
      prepare(modelProgram(model, prepareOptions.taps ?? [], { signature, lower }), prepareOptions),
  };
}

async function importLiteRt(module: object | undefined): Promise<LiteRtModule> {
  if (module) return module as LiteRtModule;
  try {
    return (await import("@litertjs/core")) as unknown as LiteRtModule;
  } catch (cause) {
    throw fail("litert/no-engine", `@litertjs/core could not be loaded: ${(cause as Error).message ?? cause}`, {
      hint: "Install it beside Pare: npm install @litertjs/core.",
      cause,
    });
  }
}
