/** The build for browsers: `@tensorflow/tfjs` with WebGPU or WebGL, or JavaScript. */
import type { Candidate } from "./engine.ts";
import { givenModule, nothing, refuseUnknown } from "./given.ts";
import type { TfjsOptions, TfjsRuntime } from "./options.ts";
import { runtimeOn } from "./runtime.ts";

export type { GradientOptions, Latency, MeasureOptions, TfjsOptions, TfjsRuntime, TfjsSession } from "./options.ts";

/**
 * TensorFlow.js as a runtime, in this thread: the backends of the given module, or those of `@tensorflow/tfjs`.
 * @throws PareError `tfjs/options`; later `tfjs/no-engine`, `tfjs/operator`, `tfjs/failed`, …
 */
export function tfjs(options: TfjsOptions = {}): TfjsRuntime {
  const { backend, module } = refuseUnknown(options);
  if (module) return givenModule(module, backend);
  const names = backend === undefined ? ["webgpu", "webgl", "cpu"] : [backend];
  const candidates = names.map(
    (name): Candidate => ({ name: `@tensorflow/tfjs, ${name}`, backend: name, load: () => import("@tensorflow/tfjs") }),
  );
  return runtimeOn({ candidates: () => candidates, ...nothing });
}
