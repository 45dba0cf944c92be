import { fail } from "./codes.ts";
import { makeLog } from "./log.ts";
import type { LiteRt, LiteRtModule } from "./wasm.ts";

/**
 * Loads LiteRT from a folder of WebAssembly files so that its log is heard: `Module` in the globals is where Emscripten
 * looks for `printErr`.
 * @throws PareError `litert/no-engine`
 */
export async function loadLiteRt(module: LiteRtModule, wasm: string, threads: boolean): Promise<LiteRt> {
  if (module.getGlobalLiteRtPromise?.())
    throw fail("litert/no-engine", "@litertjs/core was loaded by someone else, so that its errors cannot be heard", {
      hint: "Let Pare load it, or give another copy of it as module.",
    });
  const log = makeLog();
  const scope = globalThis as Record<string, unknown>;
  const before = Object.getOwnPropertyDescriptor(scope, "Module");
  const { warn } = console;
  // It looks for a graphics card whether one is wanted or not.
  console.warn = (...said: unknown[]) => {
    if (!/WebGPU device/.test(String(said[0]))) warn(...said);
  };
  scope["Module"] = { printErr: log.print, print: () => {} };
  try {
    const loaded = await module.loadLiteRt(wasm, { threads });
    return { wasm: loaded.liteRtWasm, environment: loaded.getDefaultEnvironment(), takeErrors: log.take };
  } catch (cause) {
    throw fail("litert/no-engine", `@litertjs/core could not be loaded: ${(cause as Error).message ?? cause}`, {
      cause,
    });
  } finally {
    console.warn = warn;
    if (before) Object.defineProperty(scope, "Module", before);
    else delete scope["Module"];
  }
}
