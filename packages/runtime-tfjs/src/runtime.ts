import { type Engine, openEngine, type Source } from "./engine.ts";
import type { TfjsRuntime } from "./options.ts";
import { openSession } from "./session.ts";

/** The runtime on the first candidate that loads, which is looked for when it is needed. */
export function runtimeOn(source: Source): TfjsRuntime {
  let opening: Promise<Engine> | undefined;
  const engine = () =>
    (opening ??= openEngine(source).catch((error) => {
      opening = undefined;
      throw error;
    }));
  return {
    name: "@tensorflow/tfjs",
    async version() {
      const { version, backend } = await engine();
      return `${version} ${backend}`;
    },
    async prepare(model, options = {}) {
      options.signal?.throwIfAborted();
      return openSession(await engine(), model, options);
    },
  };
}
