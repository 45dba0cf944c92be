import { fileURLToPath } from "node:url";
import { failure } from "@pare/core";
import { engineProcess } from "@pare/io/process";
import type { Request } from "./child.ts";
import type { Engine, MeasureRequest, RunRequest, WireTensor } from "./engine.ts";

/** Variables that find devices or tune the engine. */
const environment = /^(CUDA|NVIDIA|ORT|OMP|KMP|OPENVINO|QNN|HIP|ROCM)_\w+$/i;

/**
 * An engine in a process of its own, whose end is no one else's: a crash rejects what is under way with `ort/crashed`.
 * The process ends with this one, and then removes `folder`.
 */
export function isolatedEngine(modulePath: string, folder: string | undefined): Engine {
  const engine = engineProcess({
    script: fileURLToPath(
      new URL(import.meta.url.endsWith(".ts") ? "../dist/child.js" : "./child.js", import.meta.url),
    ),
    package: "@pare/runtime-ort",
    engine: "ONNX Runtime",
    prefix: "ort",
    folder,
    environment,
  });
  const loaded = engine.ask({ do: "load", module: modulePath } satisfies Request);
  loaded.catch(() => {});
  const call = async (request: Request, parts?: readonly Uint8Array[]) => {
    await loaded;
    return engine.ask(request, parts);
  };
  const bare = <R extends RunRequest>({ feeds, ...rest }: R) => ({ ...rest, feeds: feeds.map(withoutBytes) });
  const bytes = (values: readonly WireTensor[]) => values.map((v) => v.bytes);
  return {
    async open(id, location, options) {
      if (!("path" in location)) throw failure("ort/failed", "a model in memory cannot be handed to another process");
      return (await call({ do: "open", id, path: location.path, options })).ok as Awaited<ReturnType<Engine["open"]>>;
    },
    async setState(values) {
      await call({ do: "state", values: values.map(withoutBytes) }, bytes(values));
    },
    async run(request) {
      const { ok, parts } = await call({ do: "run", request: bare(request) }, bytes(request.feeds));
      return (ok as Omit<WireTensor, "bytes">[]).map((t, i) => ({ ...t, bytes: parts[i]! }));
    },
    async measure(request: MeasureRequest) {
      return (await call({ do: "measure", request: bare(request) }, bytes(request.feeds))).ok as number[];
    },
    async release(id) {
      await call({ do: "release", id });
    },
    kill: engine.kill,
    alive: engine.alive,
    ...(engine.pid === undefined ? {} : { pid: engine.pid }),
  };
}

const withoutBytes = ({ bytes: _, ...t }: WireTensor) => t;
