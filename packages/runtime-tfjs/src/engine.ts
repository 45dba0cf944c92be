/** TensorFlow.js and the backend of it that computes. */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import { fail } from "./codes.ts";

export type { TensorFlow };
export type Tensor = TensorFlow.Tensor;
export type Tf = typeof TensorFlow;

export interface Engine {
  readonly tf: Tf;
  readonly backend: string;
  /** A backend for operations that `backend` lacks. */
  readonly spare: string | undefined;
  readonly version: string;
  /** Largest integer that the backend carries exactly. */
  readonly largest: number;
  /** Most axes that all of the backend's kernels take. */
  readonly mostAxes: number;
  /** Loads the gradients of operations, which `@tensorflow/tfjs-core` does not bring. */
  readonly loadGradients: () => Promise<unknown>;
}

/** A way to get TensorFlow.js. Rejects where it is not installed or does not load here. */
export interface Candidate {
  /** What to install. */
  readonly name: string;
  readonly backend: string;
  load(): Promise<object>;
}

/** Where TensorFlow.js comes from. */
export interface Source {
  readonly candidates: () => readonly Candidate[];
  /** Loads the backend `cpu`, which has operations that others lack. */
  readonly loadSpare: () => Promise<unknown>;
  readonly loadGradients: () => Promise<unknown>;
}

/**
 * The first of the candidates that loads and computes in float32.
 * @throws PareError `tfjs/no-engine` with what became of each
 */
export async function openEngine({ candidates, loadSpare, loadGradients }: Source): Promise<Engine> {
  const problems: string[] = [];
  for (const { name, backend, load } of candidates())
    try {
      const tf = namespaceOf(await load());
      const before = chosen(tf);
      if (!(await tf.setBackend(backend))) throw new Error(`its backend ${backend} does not start`);
      await tf.ready();
      if (tf.backend().floatPrecision() !== 32) throw new Error(`its backend ${backend} computes in 16 bits`);
      if (backend !== "cpu") await loadSpare().catch(() => {});
      const others = backend !== "cpu" && tf.findBackend("cpu") ? "cpu" : undefined;
      for (const name of [others, backend]) if (name) quietly(tf, name);
      if (before) await tf.setBackend(before);
      return {
        tf,
        backend,
        spare: others,
        version: tf.version_core,
        loadGradients,
        // WebGL keeps integers in textures of float32.
        largest: backend === "webgl" ? 2 ** 24 : 2 ** 31 - 1,
        // XNNPACK, in WebAssembly, writes to the console and gives other numbers where there are more.
        mostAxes: backend === "cpu" || backend === "tensorflow" ? Number.POSITIVE_INFINITY : 6,
      };
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message?.split("\n")[0] ?? error}`);
    }
  throw fail("tfjs/no-engine", `TensorFlow.js could not be loaded. ${problems.join("; ")}`, {
    hint: "Install it beside Pare: npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu @tensorflow/tfjs-backend-wasm, or @tensorflow/tfjs-node, which is native and faster.",
  });
}

/** Makes a first tensor, at which the JavaScript backend advertises another package, without that. */
function quietly(tf: Tf, backend: string): void {
  const before = tf.env().getBool("PROD");
  tf.env().set("PROD", true);
  use(tf, backend);
  tf.scalar(0).dispose();
  tf.env().set("PROD", before);
}

/** A module that is CommonJS comes as a default export. */
export const namespaceOf = (module: object): Tf => {
  const { default: inner } = module as { default?: object };
  return ("tensor" in module ? module : (inner ?? module)) as Tf;
};

const chosen = (tf: Tf): string | undefined => tf.engine().backendName || undefined;

/** Makes a backend that has started the one that computes. What `setBackend` does then is done when it returns. */
const use = (tf: Tf, backend: string) => {
  if (chosen(tf) !== backend) void tf.setBackend(backend);
};

/** Does something on the engine's backend, and leaves the one that others had chosen as it was: for whole stretches, as it takes time. */
export function onBackend<T>({ tf, backend }: Engine, f: () => T): T {
  const before = chosen(tf) ?? backend;
  use(tf, backend);
  try {
    return f();
  } finally {
    use(tf, before);
  }
}

/**
 * Computes on the engine's backend, on its spare one where there is no such operation, and leaves the one that others had
 * chosen as it was. `f` is not asynchronous; of the tensors it makes only those that it gives stay.
 * @param axes the most axes of a tensor that it reads
 */
export function compute<T extends TensorFlow.TensorContainer>(engine: Engine, f: () => T, axes = 0): T {
  const { tf, backend, spare, mostAxes } = engine;
  const before = chosen(tf) ?? backend;
  if (axes > mostAxes && !spare)
    throw fail("tfjs/refused", `the backend ${backend} takes tensors of up to ${mostAxes} axes, and this has ${axes}`);
  try {
    use(tf, axes > mostAxes ? spare! : backend);
    try {
      return tf.tidy(f);
    } catch (error) {
      if (!spare || !/^Kernel '\w+' not registered for backend/.test((error as Error).message)) throw error;
      use(tf, spare);
      return tf.tidy(f);
    }
  } finally {
    use(tf, before);
  }
}
