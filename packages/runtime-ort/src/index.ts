/** The build for browsers: onnxruntime-web. */
import { failure } from "@pare/core";
import { namespaceOf, type OrtModule } from "./local.ts";
import type { OrtOptions, OrtRuntime } from "./options.ts";
import { memoryRuntime, noEngine } from "./web.ts";

export type { OrtModule } from "./local.ts";
export type { Latency, MeasureOptions, OrtFileRuntime, OrtOptions, OrtRuntime, OrtSession } from "./options.ts";

/**
 * ONNX Runtime as a runtime: onnxruntime-web, in this thread. Models are handed over in memory, so that weights above
 * 2 GB are refused.
 * @throws PareError `ort/options`; later `ort/no-engine`, `ort/too-large`, `ort/refused`, `ort/failed`, …
 */
export function ort(options: OrtOptions = {}): OrtRuntime {
  const { module } = options;
  if (options.engine === "node" || options.isolate || typeof module === "string")
    throw failure("ort/options", "there is no onnxruntime-node, no process of its own and no module by name here", {
      hint: 'Use ort() or ort({ module: await import("onnxruntime-web/webgpu") }).',
    });
  return memoryRuntime("onnxruntime-web", async () => (module ? namespaceOf(module) : load()), options);
}

async function load(): Promise<OrtModule> {
  try {
    return namespaceOf(await import("onnxruntime-web"));
  } catch (cause) {
    throw noEngine("onnxruntime-web", cause);
  }
}
