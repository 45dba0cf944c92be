import { fileURLToPath } from "node:url";
import { isPareError } from "@pare/core";
import { engineProcess } from "@pare/io/process";
import type { Request } from "./child.ts";
import { fail } from "./codes.ts";
import type { Engine, MeasureRequest, RunRequest, WireSignature, WireTensor } from "./engine.ts";

/**
 * LiteRT in a process of its own, whose end is no one else's. The process ends with this one, and then removes `folder`.
 */
export function isolatedEngine(modulePath: string, folder: string | undefined): Engine {
  const engine = engineProcess({
    script: fileURLToPath(
      new URL(import.meta.url.endsWith(".ts") ? "../dist/child.js" : "./child.js", import.meta.url),
    ),
    package: "@pare/runtime-litert",
    engine: "LiteRT",
    prefix: "litert",
    folder,
  });
  const loaded = engine.ask({ do: "load", module: modulePath } satisfies Request);
  loaded.catch(() => {});
  const call = async (request: Request, parts?: readonly Uint8Array[]) => {
    await loaded;
    try {
      return await engine.ask(request, parts);
    } catch (error) {
      // After an abort inside it, the module is of no more use.
      if (isPareError(error) && error.code === "litert/crashed") await engine.kill();
      throw error;
    }
  };
  const bare = <R extends RunRequest>({ inputs, ...rest }: R) => ({
    ...rest,
    inputs: inputs.map(({ bytes: _, ...t }) => t),
  });
  const bytes = (request: RunRequest) => request.inputs.map((t) => t.bytes);
  return {
    async open(id, location, options) {
      if (!("path" in location)) throw fail("litert/failed", "a model in memory cannot be handed to another process");
      return (await call({ do: "open", id, path: location.path, options })).ok as readonly WireSignature[];
    },
    async run(request) {
      const { ok, parts } = await call({ do: "run", request: bare(request) }, bytes(request));
      return (ok as Omit<WireTensor, "bytes">[]).map((t, i) => ({ ...t, bytes: parts[i]! }));
    },
    async measure(request: MeasureRequest) {
      return (await call({ do: "measure", request: bare(request) }, bytes(request))).ok as number[];
    },
    async release(id) {
      await call({ do: "release", id });
    },
    kill: engine.kill,
    alive: engine.alive,
    ...(engine.pid === undefined ? {} : { pid: engine.pid }),
  };
}
