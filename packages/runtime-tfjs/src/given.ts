import { fail } from "./codes.ts";
import { namespaceOf } from "./engine.ts";
import type { TfjsOptions, TfjsRuntime } from "./options.ts";
import { runtimeOn } from "./runtime.ts";

/** A module that is given has what it has. */
export const nothing = { loadSpare: async () => {}, loadGradients: async () => {} };

const known = new Set(["backend", "module"]);

/** @throws PareError `tfjs/options` for an option that nobody knows */
export function refuseUnknown(options: TfjsOptions): TfjsOptions {
  const unknown = Object.keys(options).filter((name) => !known.has(name));
  if (unknown.length > 0)
    throw fail("tfjs/options", `there is no option ${unknown.join(", ")}`, {
      hint: `There are ${[...known].join(", ")}.`,
    });
  return options;
}

export const unknownBackend = (backend: string) =>
  fail("tfjs/options", `there is no backend ${backend} here`, {
    hint: "In Node there are tensorflow, wasm and cpu; import any other and give it as module.",
  });

/** A runtime on a module that is imported already, with the backends that it has. */
export function givenModule(module: object, backend: string | undefined): TfjsRuntime {
  const name = "the given module";
  const candidates = () => {
    const tf = namespaceOf(module);
    const there = ["tensorflow", "webgpu", "webgl", "wasm", "cpu"].filter((b) => tf.findBackendFactory(b));
    const chosen = backend === undefined ? there : [backend];
    return chosen.map((b) => ({ name: `${name}, ${b}`, backend: b, load: async () => module }));
  };
  return runtimeOn({ candidates, ...nothing });
}
