/** The process that ONNX Runtime runs in. */
import { failure } from "@pare/core";
import { type Answer, serve } from "@pare/io/process";
import type { Engine, EngineOptions, MeasureRequest, RunRequest, WireTensor } from "./engine.ts";
import { importEngine } from "./import-engine.ts";
import { localEngine } from "./local.ts";

export type Request =
  | { readonly do: "load"; readonly module: string }
  | { readonly do: "open"; readonly id: string; readonly path: string; readonly options: EngineOptions }
  | { readonly do: "state"; readonly values: readonly Omit<WireTensor, "bytes">[] }
  | { readonly do: "run"; readonly request: Bare<RunRequest> }
  | { readonly do: "measure"; readonly request: Bare<MeasureRequest> }
  | { readonly do: "release"; readonly id: string };
/** Tensors without their bytes, which are the frame's parts. */
export type Bare<R extends RunRequest> = Omit<R, "feeds"> & { readonly feeds: readonly Omit<WireTensor, "bytes">[] };

const withBytes = (values: readonly Omit<WireTensor, "bytes">[], parts: readonly Uint8Array[]): WireTensor[] =>
  values.map((v, i) => ({ ...v, bytes: parts[i]! }));

let engine: Engine | undefined;

async function answer(request: Request, parts: readonly Uint8Array[]): Promise<Answer> {
  if (request.do === "load") {
    engine = localEngine(await importEngine(request.module));
    return { ok: null };
  }
  if (!engine) throw failure("ort/failed", "the engine was not loaded");
  switch (request.do) {
    case "open":
      return { ok: await engine.open(request.id, { path: request.path }, request.options) };
    case "state":
      await engine.setState(withBytes(request.values, parts));
      return { ok: null };
    case "run": {
      const results = await engine.run({ ...request.request, feeds: withBytes(request.request.feeds, parts) });
      return { ok: results.map(({ bytes, ...t }) => t), parts: results.map((t) => t.bytes) };
    }
    case "measure": {
      const times = await engine.measure({ ...request.request, feeds: withBytes(request.request.feeds, parts) });
      return { ok: times };
    }
    case "release":
      await engine.release(request.id);
      return { ok: null };
    default:
      return request satisfies never;
  }
}

await serve((request, parts) => answer(request as Request, parts), "ort/failed");
