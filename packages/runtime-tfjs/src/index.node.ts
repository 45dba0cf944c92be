/** The build for Node: native where it is installed, else WebAssembly, else JavaScript. */
import { pathToFileURL } from "node:url";
import { resolveModule } from "@pare/io/process";
import type { Candidate } from "./engine.ts";
import { givenModule, refuseUnknown, unknownBackend } from "./given.ts";
import type { TfjsOptions, TfjsRuntime } from "./options.ts";
import { runtimeOn } from "./runtime.ts";

export type { GradientOptions, Latency, MeasureOptions, TfjsOptions, TfjsRuntime, TfjsSession } from "./options.ts";

const load = async (name: string): Promise<object> =>
  import(pathToFileURL(resolveModule(name, import.meta.url, "tfjs")).href);

/** TensorFlow.js itself, from whichever package there is. */
const core = () => load("@tensorflow/tfjs-core").catch(() => load("@tensorflow/tfjs"));

const native = (name: string): Candidate => ({ name, backend: "tensorflow", load: () => load(name) });

/** A backend in a package of its own, or one that `@tensorflow/tfjs` brings. */
const backendOf = (name: string, backend: string): Candidate => ({
  name,
  backend,
  async load() {
    const tf = await core();
    await load(name).catch((error) => (backend === "cpu" ? load("@tensorflow/tfjs") : Promise.reject(error)));
    return tf;
  },
});

const candidates: readonly Candidate[] = [
  native("@tensorflow/tfjs-node-gpu"),
  native("@tensorflow/tfjs-node"),
  backendOf("@tensorflow/tfjs-backend-wasm", "wasm"),
  backendOf("@tensorflow/tfjs-backend-cpu", "cpu"),
];

/**
 * TensorFlow.js as a runtime: `@tensorflow/tfjs-node-gpu` where it is installed, then `@tensorflow/tfjs-node`, then
 * WebAssembly, then JavaScript. It is loaded when it is needed, and runs in this thread.
 * @throws PareError `tfjs/options`; later `tfjs/no-engine`, `tfjs/operator` with all nodes that cannot be run,
 * `tfjs/refused`, `tfjs/dtype`, `tfjs/failed`, `tfjs/timeout`, `tfjs/input`, `tfjs/output`, `tfjs/tap`, `tfjs/state`,
 * `tfjs/closed`
 * @example
 * const session = await tfjs({ backend: "wasm" }).prepare(model);
 * const { logits } = await session.run({ image });
 * await session.close();
 */
export function tfjs(options: TfjsOptions = {}): TfjsRuntime {
  const { backend, module } = refuseUnknown(options);
  if (module) return givenModule(module, backend);
  const chosen = backend === undefined ? candidates : candidates.filter((c) => c.backend === backend);
  if (chosen.length === 0) throw unknownBackend(backend!);
  return runtimeOn({
    candidates: () => chosen,
    loadSpare: () => load("@tensorflow/tfjs-backend-cpu"),
    loadGradients: () => load("@tensorflow/tfjs"),
  });
}
