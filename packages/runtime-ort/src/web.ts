import { failure, type PrepareOptions } from "@pare/core";
import type { EngineOptions } from "./engine.ts";
import { localEngine, type OrtModule } from "./local.ts";
import type { OrtOptions, OrtRuntime } from "./options.ts";
import { openSession } from "./session.ts";
import { storeInMemory } from "./stored.ts";

/**
 * ONNX Runtime's session options. Its warnings are about how models are written, and its errors come as rejections: only
 * a process of its own (`quiet` false) may say them once more.
 */
export const engineOptions = (
  options: OrtOptions,
  { threads = options.threads }: PrepareOptions,
  quiet: boolean,
): EngineOptions => ({
  logSeverityLevel: quiet ? 4 : 3,
  ...options.sessionOptions,
  ...(options.executionProviders ? { executionProviders: options.executionProviders } : {}),
  ...(options.graphOptimization ? { graphOptimizationLevel: options.graphOptimization } : {}),
  ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
});

export const versionOf = (ort: OrtModule): string => {
  const { web, node, common } = ort.env.versions as { web?: string; node?: string; common?: string };
  return web ?? node ?? common ?? "unknown";
};

/** The runtime on an engine in this process that takes models from memory. */
export const memoryRuntime = (name: string, load: () => Promise<OrtModule>, options: OrtOptions): OrtRuntime => ({
  name,
  version: async () => versionOf(await load()),
  async prepare(model, prepareOptions = {}) {
    prepareOptions.signal?.throwIfAborted();
    const ort = await load();
    const { threads = options.threads } = prepareOptions;
    if (threads !== undefined && ort.env.wasm) Object.assign(ort.env.wasm, { numThreads: threads });
    return openSession({
      start: () => localEngine(ort),
      from: { model, store: storeInMemory },
      engineOptions: engineOptions(options, prepareOptions, true),
      options: prepareOptions,
      dispose: async () => {},
    });
  },
});

export const noEngine = (name: string, cause: unknown) =>
  failure("ort/no-engine", `${name} could not be loaded: ${cause instanceof Error ? cause.message : cause}`, {
    hint: `Install it beside Pare: npm install ${name}.`,
    cause,
  });
