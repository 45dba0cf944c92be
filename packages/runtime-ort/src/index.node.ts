/** The build for Node: onnxruntime-node, in a process of its own; and onnxruntime-web. */
import { resolve } from "node:path";
import { failure, isPareError, type Model, type PrepareOptions, tensor } from "@pare/core";
import { temporaryFolder } from "@pare/io";
import { resolveModule, versionAbove } from "@pare/io/process";
import { openOnnx } from "@pare/onnx";
import { blockedConvolutions, blockProbe } from "./blocked.ts";
import { importEngine } from "./import-engine.ts";
import { isolatedEngine } from "./isolated.ts";
import { localEngine, namespaceOf, type OrtModule } from "./local.ts";
import type { OrtFileRuntime, OrtOptions, OrtRuntime, OrtSession } from "./options.ts";
import { openSession } from "./session.ts";
import { storeInFolder } from "./stored.node.ts";
import type { Store } from "./stored.ts";
import { engineOptions, memoryRuntime, noEngine, versionOf } from "./web.ts";

export type { OrtModule } from "./local.ts";
export type { Latency, MeasureOptions, OrtFileRuntime, OrtOptions, OrtRuntime, OrtSession } from "./options.ts";

/**
 * ONNX Runtime as a runtime. By default onnxruntime-node in a child process for each session: models are streamed to a
 * private temporary folder and opened by path; an abort, a time-out or a crash ends the child and nothing else.
 * @throws PareError `ort/options`; later `ort/no-engine`, `ort/refused` (the engine refuses the model), `ort/failed` (a run),
 * `ort/crashed`, `ort/timeout`, `ort/input`, `ort/output`, `ort/tap`, `ort/state`, `ort/state-lost`, `ort/dtype`, `ort/closed`
 * @example
 * const session = await ort().prepareFile("classifier.onnx");
 * const { logits } = await session.run({ image });
 * await session.close();
 */
export function ort(options: OrtOptions & { readonly engine: "web" }): OrtRuntime;
export function ort(options?: OrtOptions): OrtFileRuntime;
export function ort(options: OrtOptions = {}): OrtRuntime | OrtFileRuntime {
  const { engine = "node", module } = options;
  const name = typeof module === "string" ? module : `onnxruntime-${engine}`;
  const load = async (): Promise<OrtModule> => {
    if (typeof module === "object") return namespaceOf(module);
    const path = resolveEngine(name);
    try {
      return await importEngine(path);
    } catch (cause) {
      throw noEngine(name, cause);
    }
  };
  const isolate = options.isolate ?? (engine === "node" && typeof module !== "object");
  if (isolate && (engine === "web" || typeof module === "object"))
    throw failure("ort/options", "onnxruntime-web and modules that are loaded already run in this process only", {
      hint: "Leave isolate out.",
    });
  if (engine === "web") return memoryRuntime(name, load, options);

  const prepare = async (
    from: Model | { readonly path: string },
    prepareOptions: PrepareOptions,
    close?: () => Promise<void>,
  ): Promise<OrtSession> => {
    prepareOptions.signal?.throwIfAborted();
    const path = isolate ? resolveEngine(name) : undefined;
    const here = isolate ? undefined : await load();
    const folder = "path" in from ? undefined : await temporaryFolder();
    const block = () => {
      const engine = here ?? path!;
      const known = blocks.get(engine) ?? blockOf((m) => prepare(m, {}));
      blocks.set(engine, known);
      known.catch(() => blocks.delete(engine));
      return known;
    };
    const store = (to: Store): Store =>
      optimizes(options) && !prepareOptions.taps?.length
        ? async (model, stop) => to(await blockedConvolutions(model, block), stop)
        : to;
    return openSession({
      start: () => (here ? localEngine(here) : isolatedEngine(path!, folder?.path)),
      from:
        "path" in from ? { stored: fileAsIs(from.path) } : { model: from, store: store(storeInFolder(folder!.path)) },
      engineOptions: engineOptions(options, prepareOptions, !isolate),
      options: prepareOptions,
      async dispose() {
        await folder?.remove();
        await close?.();
      },
    });
  };
  return {
    name,
    async version() {
      return typeof module === "object" ? versionOf(namespaceOf(module)) : versionAbove(resolveEngine(name));
    },
    prepare: (model, prepareOptions = {}) => prepare(model, prepareOptions),
    async prepareFile(path, prepareOptions = {}) {
      if (!prepareOptions.taps?.length) return prepare({ path: resolve(path) }, prepareOptions);
      const { signal } = prepareOptions;
      const source = await openOnnx(path, { upgrade: false, ...(signal ? { signal } : {}) });
      return prepare(source.model, prepareOptions, source.close);
    },
  };
}

/** Channels of a block, by engine: its path or the module. */
const blocks = new Map<string | object, Promise<number>>();

/** Whether the engine's own optimizations for processors are on. */
const optimizes = ({ graphOptimization = "all", executionProviders = ["cpu"], sessionOptions = {} }: OrtOptions) =>
  (graphOptimization === "all" || graphOptimization === "layout") &&
  executionProviders.every((p) => p === "cpu") &&
  !("graphOptimizationLevel" in sessionOptions || "executionProviders" in sessionOptions);

/** Only an engine that refuses blocks has none: whatever else fails is no answer. */
async function blockOf(prepare: (model: Model) => Promise<OrtSession>): Promise<number> {
  let session: OrtSession;
  try {
    session = await prepare(blockProbe());
  } catch (error) {
    if (isPareError(error) && error.code === "ort/refused") return 1;
    throw error;
  }
  try {
    const { y } = await session.run({ x: tensor("float32", [1, 4, 1, 1], new Float32Array(4)) });
    return y!.shape[1]!;
  } finally {
    await session.close();
  }
}

const resolveEngine = (name: string): string => resolveModule(name, import.meta.url, "ort");

const fileAsIs = (path: string) => ({ byteLength: 0, variant: async () => ({ path }) });
